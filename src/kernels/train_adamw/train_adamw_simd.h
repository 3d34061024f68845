#pragma once

// train_adamw.h over simd/rows_<isa>.h's RowVector: include that first.
#include "kernels/train_adamw/train_adamw.h"

namespace {

using V = Vector;
using penjing::train_adamw::Args;

void step(const Args& args) {
  for (int64_t i = 0; i < args.size; i += V::kLanes) {
    const int64_t count = args.size - i;
    const V::Float g = V::mul(V::load_first(args.gradient + i, count), V::set(args.gradient_scale));
    const V::Float m =
        V::fma(V::set(args.beta1), V::load_first(args.m + i, count), V::mul(V::set(args.one_less_beta1), g));
    const V::Float v = V::fma(V::set(args.beta2), V::load_first(args.v + i, count),
                              V::mul(V::set(args.one_less_beta2), V::mul(g, g)));
    const V::Float divisor = V::fma(V::sqrt(v), V::set(args.root_correction), V::set(args.epsilon));
    const V::Float change = V::div(V::mul(V::set(args.step_size), m), divisor);
    const V::Float w = V::sub(V::mul(V::set(args.keep), V::load_first(args.weight + i, count)), change);
    RowVector::store_first(args.m + i, m, count);
    RowVector::store_first(args.v + i, v, count);
    RowVector::store_first(args.weight + i, w, count);
  }
}

}  // namespace
