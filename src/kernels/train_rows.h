#pragma once

#include <cstdint>

// What the families of kernels for training (train_*) have in common. Their matrices are rows of tokens,
// [rows][width], in FP32 or bfloat16; all arithmetic is FP32. Unlike the runtime's, their results may differ
// between instruction sets in the last bits, since sums run across lanes; they do not depend on threads, on
// how rows are split between calls, or on other rows. The keep mask of dropout is the same everywhere.
namespace penjing::train_rows {

// bfloat16: the upper half of a float, stored to nearest even.
enum class Element { kFloat, kBfloat16 };

// Element (row, column) is kept, times `kept`, when its word of Philox4x32-10 is >= threshold:
// philox4x32({column / 4, row's key low, high, step}, {seed, site})[column % 4]. threshold 0: nothing is
// dropped, nothing drawn.
struct Dropout {
  uint32_t threshold = 0, seed = 0, site = 0, step = 0;
  float kept = 1;  // 1 / (1 - p)
};

}  // namespace penjing::train_rows
