#pragma once

// The elementwise programs over simd/<isa>.h's Vector: include that first. Internal linkage throughout.
#include "kernels/pointwise/exp_simd.h"
#include "kernels/pointwise/pointwise.h"

namespace {

PENJING_INLINE V::Float erf_vector(V::Float x) {
  using namespace penjing::pointwise;
  // kErfLargest first: the second operand when either is NaN.
  const V::Float s = V::min(V::set(kErfLargest), V::mul(V::abs(x), V::set(kErfScale)));
  const V::Float shifted = V::add(s, V::set(kRoundMagic));
  const V::Float t = V::sub(s, V::sub(shifted, V::set(kRoundMagic)));
  const V::Int i = V::as_int(shifted);
  V::Float p = V::look_up_16(kErf[5], i);
  for (int power = 4; power >= 0; --power) p = V::fma(p, t, V::look_up_16(kErf[power], i));
  return V::copy_sign(p, x);
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
    case Function::kGelu: {
      const V::Float erf = erf_vector(V::mul(x, V::set(kSqrtHalf)));
      return V::mul(V::mul(x, V::set(0.5f)), V::add(V::set(1.0f), erf));
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

template <typename Program>
PENJING_INLINE void for_each_vector(float* x, int64_t size, Program program) {
  for (int64_t i = 0; i < size; i += V::kLanes) V::store(x + i, program(V::load(x + i)));
}

void apply(penjing::pointwise::Function function, float* x, int64_t size) {
  using penjing::pointwise::Function;
  // One loop a function, so that the switch is outside.
#define PENJING_CASE(name)  \
  case Function::name:      \
    return for_each_vector( \
        x, size, [](V::Float v) __attribute__((always_inline)) { return apply_vector(Function::name, v); });
  switch (function) {
    PENJING_CASE(kGelu)
    PENJING_CASE(kGeluTanh)
    PENJING_CASE(kRelu)
    PENJING_CASE(kSilu)
    PENJING_CASE(kTanh)
  }
#undef PENJING_CASE
}

void exp_array(float* x, int64_t size) {
  for (int64_t i = 0; i < size; i += V::kLanes) V::store(x + i, exp_vector(V::load(x + i)));
}

void erf_array(float* x, int64_t size) {
  for (int64_t i = 0; i < size; i += V::kLanes) V::store(x + i, erf_vector(V::load(x + i)));
}

void multiply(float* y, const float* x, int64_t size) {
  for (int64_t i = 0; i < size; i += V::kLanes) V::store(y + i, V::mul(V::load(y + i), V::load(x + i)));
}

void add(float* y, const float* x, int64_t size) {
  for (int64_t i = 0; i < size; i += V::kLanes) V::store(y + i, V::add(V::load(y + i), V::load(x + i)));
}

}  // namespace
