#pragma once

#include <cstdint>

#include "kernels/cpu.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/train_rows.h"

namespace penjing::train_activation {

// y = f(x) with pointwise.h's functions, and d_x = dy f'(x):
//   gelu       Phi(x) + x phi(x), phi(x) = exp(-x^2 / 2) / sqrt(2 pi)
//   gelu_tanh  (1 + t) / 2 + x (1 - t^2) / 2 * sqrt(2 / pi) (1 + 3 * 0.044715 x^2)
//   silu       s (1 + x (1 - s)), s = 1 / (1 + exp(-x))
//   relu       x > 0;  tanh  1 - tanh(x)^2;  none  1
struct Args {
  train_rows::Element element;  // of x, dy and the result
  pointwise::Function function;
  int64_t size;
  const void* x;
  const void* dy;  // of backward
  void* result;    // y, or d_x; may be x or dy
};

struct Kernel {
  Isa isa;
  void (*forward)(const Args& args);
  void (*backward)(const Args& args);
};

const Kernel& select();
const Kernel* find(Isa isa);

}  // namespace penjing::train_activation
