#pragma once

#include <cstdint>

namespace penjing {

// Some consecutive sequences of a RaggedBatch, without copying: sequence i holds tokens
// [offsets[i] - offsets[0], offsets[i+1] - offsets[0]) of ids.
struct TokenSpan {
  const int32_t* ids = nullptr;
  const int32_t* types = nullptr;  // null: all 0
  const int64_t* offsets = nullptr;
  int64_t num_sequences = 0;

  int64_t begin(int64_t i) const { return offsets[i] - offsets[0]; }
  int64_t length(int64_t i) const { return offsets[i + 1] - offsets[i]; }
  int64_t num_tokens() const { return offsets[num_sequences] - offsets[0]; }
};

}  // namespace penjing
