#pragma once

// The elementwise programs over simd/<isa>.h's Vector: include that first. Internal linkage throughout.
#include "kernels/pointwise/functions_simd.h"

namespace {

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
    case Function::kNone:
      return;
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
