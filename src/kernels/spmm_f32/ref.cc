// The definition in plain loops.
#include <cmath>

#include "kernels/spmm_f32/format.h"

namespace penjing::spmm_f32::ref {

namespace {

void run(const Args& args) {
  const Blocks blocks = unpack(args);
  for (int64_t n = args.n_begin; n < args.n_end; ++n) {
    const int32_t* first = blocks.first + n / kOutputs * (blocks.num_sums + 1);
    for (int t = 0; t < args.width; ++t) {
      float total = 0;
      for (int64_t s = 0; s < blocks.num_sums; ++s) {
        float sum = 0;
        for (int32_t b = first[s]; b < first[s + 1]; ++b) {
          sum = std::fma(blocks.weight[b * kOutputs + n % kOutputs], args.x[blocks.input[b] * args.width + t],
                         sum);
        }
        total = s == 0 ? sum : total + sum;
      }
      if (args.bias != nullptr) total += args.bias[n];
      if (args.residual != nullptr) total += args.residual[n * args.width + t];
      args.y[n * args.width + t] = total;
    }
  }
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kRef, 0.2, packed_bytes, pack, valid, run};

}  // namespace penjing::spmm_f32::ref
