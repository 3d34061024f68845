#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/panel.h"
#include "model/linear.h"
#include "model/model.h"
#include "runtime/token_span.h"

namespace penjing {

// The embedding tables: word + token type + position, summed in this order (transformers' own), FP32.
// The word table stays where the model's file is mapped and is read row by row: F32, 16-bit, or INT8 with one
// scale a row. So do positions; token types are expanded at load.
class EmbeddingOp {
 public:
  explicit EmbeddingOp(const Model& model);

  int64_t width() const { return width_; }
  int64_t vocab_size() const { return vocab_size_; }
  int64_t num_types() const { return num_types_; }  // 0: the model has no token types
  int64_t max_length() const { return max_length_; }
  std::size_t bytes() const;
  const Tensor& word() const { return word_.weight; }

  // Floats of scratch that each thread needs.
  int64_t scratch_floats() const { return kLaneTokens * width_; }

  // Whether a token's vector is its row of the word table, nothing added.
  bool is_one_table() const { return type_.empty() && position_.rows == 0; }
  // row [width] = mean of the tokens' rows of the word table, zeros of none: the bits of run() and then mean
  // pooling where is_one_table().
  void mean_rows(const int32_t* ids, int64_t count, float* row) const;

  // target: panels [width]; ids and types are already known to be in range. scratch: [num_threads] pieces.
  void run(const TokenSpan& tokens, ThreadPool& pool, float* target, float* scratch) const;

 private:
  // Adds a row of a table, or sets it.
  template <bool Add>
  void read(const EmbeddingTable& table, const std::vector<float>& scale, int64_t index, float* row) const;

  EmbeddingTable word_;
  std::vector<float> word_scale_;  // INT8: [vocab]
  EmbeddingTable position_;
  std::vector<float> position_scale_;  // INT8: [rows]
  std::vector<float> type_;            // row-major
  int64_t first_position_ = 0;         // row of the first token
  int64_t width_ = 0, vocab_size_ = 0, num_types_ = 0, max_length_ = 0;
};

}  // namespace penjing
