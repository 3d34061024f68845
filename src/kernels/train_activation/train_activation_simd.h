#pragma once

// train_activation.h over simd/rows_<isa>.h's RowVector: include that first.
#include "kernels/pointwise/functions_simd.h"
//
#include "kernels/simd/rows.h"
#include "kernels/train_activation/train_activation.h"

namespace {

using penjing::pointwise::Function;
using penjing::train_activation::Args;

PENJING_INLINE V::Float derivative_vector(Function function, V::Float x) {
  using namespace penjing::pointwise;
  const V::Float one = V::set(1.0f), half = V::set(0.5f);
  switch (function) {
    case Function::kNone:
      return one;
    case Function::kGelu: {
      constexpr float kInverseRoot2Pi = 0.398942280f;
      const V::Float erf = V::copy_sign(erf_of_scaled(V::mul(V::abs(x), V::set(kGeluErfScale))), x);
      const V::Float density =
          V::mul(exp_vector(V::mul(V::mul(x, x), V::set(-0.5f))), V::set(kInverseRoot2Pi));
      return V::fma(x, density, V::fma(erf, half, half));
    }
    case Function::kGeluTanh: {
      const V::Float square = V::mul(x, x);
      const V::Float cubic = V::mul(V::mul(square, x), V::set(kGeluCubic));
      const V::Float t = tanh_vector(V::mul(V::set(kGeluScale), V::add(x, cubic)));
      const V::Float inner = V::mul(V::set(kGeluScale), V::fma(square, V::set(3 * kGeluCubic), one));
      const V::Float slope = V::mul(V::sub(one, V::mul(t, t)), inner);
      return V::mul(half, V::fma(x, slope, V::add(one, t)));
    }
    case Function::kRelu:
      return V::select(V::less(V::zero(), x), one, V::zero());
    case Function::kSilu: {
      const V::Float s = V::div(one, V::add(one, exp_vector(V::sub(V::zero(), x))));
      return V::mul(s, V::fma(x, V::sub(one, s), one));
    }
    case Function::kTanh: {
      const V::Float t = tanh_vector(x);
      return V::sub(one, V::mul(t, t));
    }
  }
  return one;
}

template <typename T, typename Program>
PENJING_INLINE void each_vector(const Args& args, const Program& program) {
  for (int64_t i = 0; i < args.size; i += V::kLanes) {
    const int64_t count = args.size - i;
    store_first(static_cast<T*>(args.result) + i, program(i, count), count);
  }
}

template <typename T, Function kFunction>
void forward_values(const Args& args) {
  each_vector<T>(
      args, [&](int64_t i, int64_t count) __attribute__((always_inline)) {
        return apply_vector(kFunction, load_first(static_cast<const T*>(args.x) + i, count));
      });
}
template <typename T, Function kFunction>
void backward_values(const Args& args) {
  each_vector<T>(
      args, [&](int64_t i, int64_t count) __attribute__((always_inline)) {
        return V::mul(load_first(static_cast<const T*>(args.dy) + i, count),
                      derivative_vector(kFunction, load_first(static_cast<const T*>(args.x) + i, count)));
      });
}

// One loop a function and element, so that the choice is outside.
#define PENJING_CASE(what, name)                                               \
  case Function::name:                                                         \
    return args.element == Element::kFloat ? what<float, Function::name>(args) \
                                           : what<uint16_t, Function::name>(args);
#define PENJING_CHOOSE(what)      \
  switch (args.function) {        \
    PENJING_CASE(what, kNone)     \
    PENJING_CASE(what, kGelu)     \
    PENJING_CASE(what, kGeluTanh) \
    PENJING_CASE(what, kRelu)     \
    PENJING_CASE(what, kSilu)     \
    PENJING_CASE(what, kTanh)     \
  }
void forward(const Args& args) {
  PENJING_CHOOSE(forward_values)
}
void backward(const Args& args) {
  PENJING_CHOOSE(backward_values)
}
#undef PENJING_CHOOSE
#undef PENJING_CASE

}  // namespace
