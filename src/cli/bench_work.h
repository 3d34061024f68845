#pragma once

#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "model/description.h"
#include "text/ragged_batch.h"
#include "text/tokenizer.h"

namespace penjing::cli {

// What bench runs: sequences of given lengths in tokens, special ones included.
struct Shape {
  std::string name;
  std::vector<int64_t> lengths;
  int64_t tokens() const { return std::accumulate(lengths.begin(), lengths.end(), int64_t{0}); }
};

// A comma-separated list of 1x128 (sequences x tokens), 32xvar (lengths log-normal(3.2, 0.7) clipped
// to 5..256, always the same ones) and 12+40+7 (the lengths themselves). kInput when malformed or a length is
// above `longest`.
std::vector<Shape> parse_shapes(const std::string& list, int64_t longest);

// One shape for one tokenizer: texts that give exactly those lengths, and their packed batch.
struct Work {
  std::vector<std::string> texts;
  RaggedBatch batch;
};
Work make_work(const std::string& model, const Tokenizer& tokenizer, const Shape& shape);

// Operations of the encoder on sequences of these lengths, zeros counted.
double flops_of(const Description& description, std::span<const int64_t> lengths);

}  // namespace penjing::cli
