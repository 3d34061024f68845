// The definition in a plain loop.
#include <cmath>

#include "kernels/train_adamw/train_adamw.h"

namespace penjing::train_adamw::ref {

namespace {

void step(const Args& args) {
  for (int64_t i = 0; i < args.size; ++i) {
    const float g = args.gradient[i] * args.gradient_scale;
    const float m = std::fma(args.beta1, args.m[i], args.one_less_beta1 * g);
    const float v = std::fma(args.beta2, args.v[i], args.one_less_beta2 * (g * g));
    const float divisor = std::fma(std::sqrt(v), args.root_correction, args.epsilon);
    args.m[i] = m;
    args.v[i] = v;
    args.weight[i] = args.keep * args.weight[i] - args.step_size * m / divisor;
  }
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kRef, step};

}  // namespace penjing::train_adamw::ref
