// The definition in plain loops. Packed form: [N][K] as given.
#include <cstring>

#include "kernels/gemm_i8/gemm_i8.h"
#include "kernels/pointwise/scalar.h"

namespace penjing::gemm_i8::ref {

namespace {

std::size_t packed_bytes(int64_t n, int64_t k) {
  return static_cast<std::size_t>(n * k);
}

void pack(const int8_t* w, int64_t n, int64_t k, void* packed) {
  std::memcpy(packed, w, packed_bytes(n, k));
}

void run(const Args& args) {
  const auto* w = static_cast<const int8_t*>(args.w);
  for (int64_t n = args.n_begin; n < args.n_end; ++n) {
    for (int t = 0; t < args.width; ++t) {
      int32_t sum = 0;
      for (int64_t k = 0; k < args.k; ++k) {
        sum += w[n * args.k + k] * args.x[(k / 4 * args.width + t) * 4 + k % 4];
      }
      const int32_t exact = sum - args.zero_point[t] * args.row_sum[n];
      float y = static_cast<float>(exact) * (args.scale_x[t] * args.scale_w[n]);
      if (args.bias != nullptr) y += args.bias[n];
      y = pointwise::apply_scalar(args.activation, y);
      if (args.residual != nullptr) y += args.residual[n * args.width + t];
      args.y[n * args.width + t] = y;
    }
  }
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kRef, "ref", kAnyCodes, true, 0.35, packed_bytes, pack, run};

}  // namespace penjing::gemm_i8::ref
