#pragma once

// The functions of pointwise.h on one vector, over simd/<isa>.h's Vector: include that first. Products apply
// them in their epilogues.
#include "kernels/pointwise/exp_simd.h"
#include "kernels/pointwise/pointwise.h"

namespace {

// erf(x / kErfScale) for x >= 0.
PENJING_INLINE V::Float erf_of_scaled(V::Float x) {
  using namespace penjing::pointwise;
  const V::Float s = V::min(V::set(kErfLargest), x);  // x when it is NaN
  const V::Float shifted = V::add(s, V::set(kRoundMagic));
  const V::Float t = V::sub(s, V::sub(shifted, V::set(kRoundMagic)));
  const V::Int i = V::as_int(shifted);
  V::Float p = V::look_up_16(kErf[5], i);
  for (int power = 4; power >= 0; --power) p = V::fma(p, t, V::look_up_16(kErf[power], i));
  return p;
}

PENJING_INLINE V::Float erf_vector(V::Float x) {
  return V::copy_sign(erf_of_scaled(V::mul(V::abs(x), V::set(penjing::pointwise::kErfScale))), x);
}

PENJING_INLINE V::Float tanh_vector(V::Float x) {
  // sign(x) (1 - 2 / (exp(2|x|) + 1)): absolute error of 1 to 2 units of 2^-24.
  const V::Float a = V::abs(x);
  const V::Float e = exp_vector(V::add(a, a));
  const V::Float y = V::sub(V::set(1.0f), V::div(V::set(2.0f), V::add(e, V::set(1.0f))));
  return V::copy_sign(y, x);
}

PENJING_INLINE V::Float apply_vector(penjing::pointwise::Function function, V::Float x) {
  using namespace penjing::pointwise;
  switch (function) {
    case Function::kNone:
      break;
    case Function::kGelu: {
      const V::Float a = V::abs(x);
      return V::mul(V::fma(a, erf_of_scaled(V::mul(a, V::set(kGeluErfScale))), x), V::set(0.5f));
    }
    case Function::kGeluTanh: {
      const V::Float cubic = V::mul(V::mul(V::mul(x, x), x), V::set(kGeluCubic));
      const V::Float tanh = tanh_vector(V::mul(V::set(kGeluScale), V::add(x, cubic)));
      return V::mul(V::mul(x, V::set(0.5f)), V::add(V::set(1.0f), tanh));
    }
    case Function::kRelu:
      return V::max(V::zero(), x);  // NaN stays
    case Function::kSilu:
      return V::div(x, V::add(V::set(1.0f), exp_vector(V::sub(V::zero(), x))));
    case Function::kTanh:
      return tanh_vector(x);
  }
  return x;
}

// y[i] = function(y[i]), the choice made once for all.
template <int kCount>
PENJING_INLINE void activate(penjing::pointwise::Function function, V::Float (&y)[kCount]) {
  using penjing::pointwise::Function;
#define PENJING_CASE(name)                                             \
  case Function::name:                                                 \
    for (auto& value : y) value = apply_vector(Function::name, value); \
    break;
  switch (function) {
    case Function::kNone:
      break;
      PENJING_CASE(kGelu)
      PENJING_CASE(kGeluTanh)
      PENJING_CASE(kRelu)
      PENJING_CASE(kSilu)
      PENJING_CASE(kTanh)
  }
#undef PENJING_CASE
}

}  // namespace
