#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "predict/tap.h"
#include "text/ragged_batch.h"

namespace penjing {

enum class OutputKind {
  kHidden,        // encoder output, a row a token
  kEmbedding,     // sentence embedding, a row a sequence
  kPooled,        // BERT pooler output, a row a sequence
  kClassLogits,   // sequence classification or regression, a row a sequence
  kTokenLogits,   // token classification, a row a token
  kMaskedLogits,  // masked LM, a row for each of Request::positions (all tokens when empty)
  kSpanLogits,    // question answering, a row a token: start, end
};
const char* to_string(OutputKind kind);

struct Request {
  OutputKind kind = OutputKind::kHidden;
  std::span<const int64_t> positions{};  // packed token indices, ascending (kMaskedLogits)
  // Tokens of the prompt at the start of each sequence, special tokens included, for models whose pooling
  // leaves the prompt out (kEmbedding); empty: none.
  std::span<const int64_t> prompt_lengths{};
  Tap* tap = nullptr;
};

// Rows of one output, row-major [num_rows, dim]; rows of sequence i are [row_offsets[i], row_offsets[i+1]).
struct Prediction {
  OutputKind kind = OutputKind::kHidden;
  int64_t num_rows = 0, dim = 0;
  std::vector<float> values;
  std::vector<int64_t> row_offsets;
  std::span<const float> row(int64_t i) const {
    return {values.data() + i * dim, static_cast<std::size_t>(dim)};
  }
};

// The seam between what runs a model and what measures or serves it. A row's values depend on its own
// sequence only, bit for bit.
class Predictor {
 public:
  virtual ~Predictor() = default;
  virtual bool supports(OutputKind kind) const = 0;
  virtual int64_t vocab_size() const = 0;
  virtual int64_t max_length() const = 0;  // tokens a sequence, special tokens included

  // Runs the batch. kInput: a kind not supported, an id outside [0, vocab_size), an empty or too long
  // sequence. kFormat: a result that is not finite (the row is named). Not thread-safe: one session a thread.
  virtual Prediction predict(const RaggedBatch& batch, const Request& request) = 0;
};

}  // namespace penjing
