#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "model/linear.h"
#include "text/tokenizer.h"

namespace penjing::augment {

// x . y over [width], in sixteen chains that are added in order: the same bits on every machine.
float dot(const float* x, const float* y, int64_t width);

// A model's word embeddings as vectors of words. Rows share a large mean, another for pieces that begin a
// word than for those that go on with one, and differ most along one direction, which is how frequent a piece
// is: with these, rare words would be near to rare words and to nothing else. So each row is taken less the
// mean of its kind, and without its component along the first principal component of pieces that begin a word
// (Mu and Viswanath 2018, "All-but-the-Top", with D = 1).
class WordTable {
 public:
  WordTable(const EmbeddingTable& table, const Tokenizer& tokenizer, ThreadPool& pool);

  int64_t width() const { return width_; }
  // The mean of the pieces' rows, of length 1 (all zero when the mean is).
  std::vector<float> direction(std::span<const int32_t> pieces) const;
  // The `count` pieces of `among` with the largest cosine to `direction`, falling; equal ones by id.
  std::vector<int32_t> nearest(std::span<const float> direction, std::span<const int32_t> among,
                               std::size_t count) const;

 private:
  const float* row(int64_t i) const { return rows_.data() + i * width_; }
  void subtract_means(ThreadPool& pool);
  std::vector<float> find_direction(ThreadPool& pool) const;

  int64_t num_rows_, width_;
  std::vector<char> begins_;  // of each row: whether its piece begins a word
  std::vector<float> rows_, inverse_norms_;
};

// The pieces that are whole words by themselves: encoded again, each gives itself and nothing else. No
// special tokens, no
// "##ing", no [unused0].
std::vector<int32_t> whole_words(const Tokenizer& tokenizer);

// Of one or more letters a to z, large or small, and nothing else.
bool is_alphabetic(std::string_view word);

}  // namespace penjing::augment
