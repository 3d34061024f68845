#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/panel.h"
#include "model/linear.h"
#include "model/model.h"
#include "runtime/token_span.h"

namespace penjing {

// The embedding tables: word + token type + position, summed in this order (transformers' own), FP32. Where
// the words are projected first (MobileBERT), the words of a token and of its neighbours, and apart from them
// token type + position.
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
  int64_t scratch_floats() const { return kLaneTokens * std::max(row_width_, added_width_); }

  // Whether a token's vector is its row of the word table, nothing added.
  bool is_one_table() const { return type_.empty() && position_.rows == 0 && !trigram_; }
  // row [width] = mean of the tokens' rows of the word table, zeros of none: the bits of run() and then mean
  // pooling where is_one_table().
  void mean_rows(const int32_t* ids, int64_t count, float* row) const;

  // target: panels of the words [EmbeddingSpec::word_width()]; added: where types and positions do not go
  // into them, panels [table_width()] of those, else null. ids and types are already known to be in range.
  // scratch: [num_threads] pieces.
  void run(const TokenSpan& tokens, ThreadPool& pool, float* target, float* added, float* scratch) const;

 private:
  // A token of a batch: its number and its place in the sequence of `length` tokens.
  struct Token {
    int64_t index = 0, place = 0, length = 0;
  };
  // Adds a row of a table, or sets it.
  template <bool Add>
  void read(const EmbeddingTable& table, const std::vector<float>& scale, int64_t index, float* row) const;
  void read_words(const TokenSpan& tokens, const Token& token, float* row) const;
  template <bool Add>
  void read_tables(const TokenSpan& tokens, const Token& token, float* row) const;
  // Panels [width] of what `write` puts into a token's row.
  template <typename Write>
  void fill_panels(const TokenSpan& tokens, ThreadPool& pool, int64_t width, float* target, float* scratch,
                   Write write) const;

  EmbeddingTable word_;
  std::vector<float> word_scale_;  // INT8: [vocab]
  EmbeddingTable position_;
  std::vector<float> position_scale_;  // INT8: [rows]
  std::vector<float> type_;            // row-major
  int64_t first_position_ = 0;         // row of the first token
  int64_t width_ = 0, vocab_size_ = 0, num_types_ = 0, max_length_ = 0;
  int64_t row_width_ = 0;    // of the words of a token
  int64_t added_width_ = 0;  // of types and positions apart from them; 0: they are added to them
  bool trigram_ = false;
};

}  // namespace penjing
