// The definition in plain loops.
#include "kernels/pointwise/scalar.h"
#include "kernels/spmm_i8/format.h"

namespace penjing::spmm_i8::ref {

namespace {

void run(const Args& args) {
  const auto quads = unpack<int8_t>(args);
  for (int64_t n = args.n_begin; n < args.n_end; ++n) {
    for (int t = 0; t < args.width; ++t) {
      int32_t sum = 0;
      for (int32_t quad = quads.first[n / kOutputs]; quad < quads.first[n / kOutputs + 1]; ++quad) {
        for (int i = 0; i < 4; ++i) {
          sum += quads.weight[(quad * kOutputs + n % kOutputs) * 4 + i] *
                 args.x[quads.input[4 * quad + i] * args.width + t];
        }
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
const Kernel kernel = {Isa::kRef,    "ref",         kAnyCodes, true, packed_bytes<int8_t>,
                       pack<int8_t>, valid<int8_t>, run};

}  // namespace penjing::spmm_i8::ref
