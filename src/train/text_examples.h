#pragma once

#include <span>
#include <string>
#include <vector>

#include "train/objective.h"

namespace penjing::train {

// "tokens a text: 5 % 8, half 21, 95 % 49, longest 66; 3 cut at 128"
std::string describe_lengths(std::span<const Sequence> sequences, int64_t num_truncated, int64_t max_length);

// Texts, pairs or several texts an example, tokenized once and kept.
class TextExamples {
 public:
  // Each row is one sequence: a text, or two that the model reads together. prompts: none, one that goes
  // before all texts, or one for each (not with pairs).
  TextExamples(const Tokenizer& tokenizer, ThreadPool& pool, std::span<const std::string> texts,
               std::span<const std::string> pairs, int64_t max_length,
               std::span<const std::string> prompts = {});
  int64_t size() const { return static_cast<int64_t>(sequences_.size()); }
  const Sequence& operator[](int64_t i) const { return sequences_[i]; }
  std::span<const Sequence> one(int64_t i) const { return {&sequences_[i], 1}; }
  int64_t num_truncated() const { return truncated_; }
  std::string describe_lengths(int64_t max_length) const {
    return train::describe_lengths(sequences_, truncated_, max_length);
  }

 private:
  std::vector<Sequence> sequences_;
  int64_t truncated_ = 0;
};

// Sequences of one forward; their numbers are `samples`.
PackedBatch pack(std::span<const Sequence* const> sequences, std::vector<int64_t> samples,
                 at::Device device = at::kCPU);

}  // namespace penjing::train
