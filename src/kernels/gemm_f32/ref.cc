// The definition in plain loops. Packed form: [N][K] as given.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/gemm_f32/gemm_f32.h"

namespace penjing::gemm_f32::ref {

namespace {

std::size_t packed_bytes(int64_t n, int64_t k) {
  return static_cast<std::size_t>(n * k) * sizeof(float);
}

void pack(const float* w, int64_t n, int64_t k, void* packed) {
  std::memcpy(packed, w, packed_bytes(n, k));
}

void run(const Args& args) {
  const auto* w = static_cast<const float*>(args.w);
  for (int64_t n = args.n_begin; n < args.n_end; ++n) {
    for (int t = 0; t < args.width; ++t) {
      float sum = 0;
      for (int64_t begin = 0; begin < args.k; begin += kBlock) {
        float block = 0;
        for (int64_t k = begin; k < std::min(args.k, begin + kBlock); ++k)
          block = std::fma(w[n * args.k + k], args.x[k * args.width + t], block);
        sum = begin == 0 ? block : sum + block;
      }
      if (args.bias != nullptr) sum += args.bias[n];
      if (args.residual != nullptr) sum += args.residual[n * args.width + t];
      args.y[n * args.width + t] = sum;
    }
  }
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kRef, packed_bytes, pack, run};

}  // namespace penjing::gemm_f32::ref
