// The definition in plain loops, products and sums in FP32. Packed form: [N][K] as given.
#include <cmath>
#include <cstring>

#include "kernels/gemm_bf16/gemm_bf16.h"
#include "kernels/pointwise/scalar.h"
#include "numerics/float16.h"

namespace penjing::gemm_bf16::ref {

namespace {

std::size_t packed_bytes(int64_t n, int64_t k) {
  return static_cast<std::size_t>(n * k) * sizeof(uint16_t);
}

void pack(const uint16_t* w, int64_t n, int64_t k, void* packed) {
  std::memcpy(packed, w, packed_bytes(n, k));
}

void convert(const float* x, int64_t features, int width, uint16_t* pairs) {
  for (int64_t f = 0; f < (features + 1) / 2 * 2; ++f) {
    for (int t = 0; t < width; ++t) {
      pairs[(f / 2 * width + t) * 2 + f % 2] =
          f < features ? float_to_bfloat16(x[f * width + t]) : uint16_t{0};
    }
  }
}

void run(const Args& args) {
  const auto* w = static_cast<const uint16_t*>(args.w);
  for (int64_t n = args.n_begin; n < args.n_end; ++n) {
    for (int t = 0; t < args.width; ++t) {
      float sum = 0;
      for (int64_t k = 0; k < args.k; ++k) {
        sum = std::fma(bfloat16_to_float(w[n * args.k + k]),
                       bfloat16_to_float(args.x[(k / 2 * args.width + t) * 2 + k % 2]), sum);
      }
      if (args.bias != nullptr) sum += args.bias[n];
      sum = pointwise::apply_scalar(args.activation, sum);
      if (args.residual != nullptr) sum += args.residual[n * args.width + t];
      args.y[n * args.width + t] = sum;
    }
  }
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kRef, packed_bytes, pack, convert, run};

}  // namespace penjing::gemm_bf16::ref
