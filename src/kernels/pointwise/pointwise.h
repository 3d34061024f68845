#pragma once

#include <cstdint>

#include "kernels/cpu.h"

namespace penjing::pointwise {

// Elementwise functions on float arrays, in place, size a multiple of 16. One fixed sequence of IEEE FP32
// operations each (polynomials below), bit-equal on every instruction set.
//   gelu       x/2 (1 + erf(x/sqrt 2)) as (x + |x| erf(|x|/sqrt 2)) / 2, |erf error| <= 2e-7 absolute
//   gelu_tanh  x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
//   tanh, relu, silu; none leaves x as it is
enum class Function { kNone, kGelu, kGeluTanh, kRelu, kSilu, kTanh };

struct Kernel {
  Isa isa;
  void (*apply)(Function function, float* x, int64_t size);
  void (*exp)(float* x, int64_t size);  // for tests of the bound: <= 2 ulp, exp(<-87.3) = 0
  void (*erf)(float* x, int64_t size);
  void (*multiply)(float* y, const float* x, int64_t size);  // y *= x (gated feed-forward)
  void (*add)(float* y, const float* x, int64_t size);       // y += x
};

const Kernel& select();
const Kernel* find(Isa isa);

}  // namespace penjing::pointwise
