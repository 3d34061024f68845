#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "distill/connections.h"
#include "distill/outputs_tap.h"
#include "distill/plan.h"
#include "train/objective.h"

namespace penjing::distill {

// One thing that a teacher says of examples: its logits, its sentence embeddings, or one kind of output of
// one layer.
struct AnswerPart {
  unsigned need = kLogits;  // kLogits, kEmbeddings, kRows, kFirst, kQuery, kKey, kValue or kScores
  int64_t layer = 0;        // of what layers have

  std::string name() const;  // "logits", "layer.3.queries"
  auto operator<=>(const AnswerPart&) const = default;
};

// All that a plan's terms read of the teacher, over the whole training. Empty where that is not the same each
// time: which words a masked-language model is asked for is drawn anew.
std::vector<AnswerPart> answer_parts(const Plan& plan);
OutputNeeds needs_of(std::span<const AnswerPart> parts);

// The rows of a part in `outputs`, end to end: [examples, width] of logits and embeddings; [sequences, width]
// of first tokens; [tokens, width] of the other vectors; of scores all numbers [heads * squares of lengths].
at::Tensor rows_of(const AnswerPart& part, const Outputs& outputs, std::span<const int64_t> offsets);

// What a teacher says of every example of a data set.
class Answers {
 public:
  // shortened_classes: of logits that are kept as of shorten_logits(); 0: as they are.
  explicit Answers(const train::Objective& task, int64_t shortened_classes = 0);

  int64_t num_examples() const { return static_cast<int64_t>(first_sequence_.size()) - 1; }
  // How many rows of a part there are of the first `examples`, as in rows_of(); of scores, numbers a head.
  int64_t num_rows(const AnswerPart& part, int64_t examples) const;
  // Whether `rows` are as many as all examples have.
  bool fits(const AnswerPart& part, const at::Tensor& rows) const;

  void set(const AnswerPart& part, at::Tensor rows);
  // What of `needs` is there, of these examples, on the device. num_heads: of the teacher's layers, from 1.
  Outputs read(const OutputNeeds& needs, std::span<const int64_t> num_heads,
               std::span<const int64_t> examples, at::Device device) const;

 private:
  struct Stored {
    AnswerPart part;
    at::Tensor rows;
  };
  const at::Tensor* find(unsigned need, int64_t layer) const;

  std::vector<int64_t> first_sequence_;    // of each example, and their number
  std::vector<int64_t> tokens_, squares_;  // before each sequence, and of all
  std::vector<Stored> parts_;
  int64_t shortened_classes_;
};

// A part in a file of its own: safetensors with the one tensor "answers" of rows_of()'s shape.
inline constexpr const char* kAnswers = "answers";
// Its tensor, in the mapped file.
at::Tensor read_answers(const std::filesystem::path& file);

}  // namespace penjing::distill
