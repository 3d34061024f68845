#pragma once

#include <cstdint>

#include "kernels/cpu.h"
#include "kernels/train_rows.h"

namespace penjing::train_dropout {

// y = residual + dropout(x), rows [rows][width]; residual may be null, y may be x. The gradient of x is the
// same of dy without a residual.
struct Args {
  train_rows::Element element;
  int64_t rows, width;
  train_rows::Dropout dropout;
  const int64_t* row_keys;  // [rows]; null where nothing is dropped
  const void* x;
  const void* residual;
  void* y;
};

struct Kernel {
  Isa isa;
  void (*run)(const Args& args);
};

const Kernel& select();
const Kernel* find(Isa isa);

}  // namespace penjing::train_dropout
