// The definition in plain loops, on the packed form.
#include <algorithm>
#include <cmath>

#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_nbits/format.h"

namespace penjing::gemm_nbits::ref {

namespace {

int code_of(const uint8_t* codes, const Layout& layout, int64_t output, int64_t input) {
  const int64_t i = input % 4;
  if (layout.bits == 8) return static_cast<int8_t>(codes[(input / 4 * 4 + i) * kOutputs + output]);
  const uint8_t byte = codes[input / 4 * 2 * kOutputs + i % 2 * kOutputs + output];
  return (i < 2 ? byte & 15 : byte >> 4) - 8;
}

void run(const Args& args) {
  constexpr int64_t kBlock = gemm_f32::kBlock;
  for (int64_t n = args.n_begin; n < args.n_end; ++n) {
    const auto* packed =
        static_cast<const uint8_t*>(args.w) + n / kOutputs * group_bytes(args.k, args.layout);
    const auto* scales = reinterpret_cast<const float*>(packed);
    const uint8_t* codes = packed + scale_bytes(args.k, args.layout);
    for (int t = 0; t < args.width; ++t) {
      float sum = 0;
      for (int64_t begin = 0; begin < args.k; begin += kBlock) {
        float block = 0;
        for (int64_t k = begin; k < std::min(args.k, begin + kBlock); ++k) {
          const float w = static_cast<float>(code_of(codes, args.layout, n % kOutputs, k)) *
                          scales[k / args.layout.group * kOutputs + n % kOutputs];
          block = std::fma(w, args.x[k * args.width + t], block);
        }
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

}  // namespace penjing::gemm_nbits::ref
