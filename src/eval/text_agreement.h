#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eval/evaluation.h"

namespace penjing {

// What a model gives for plain texts, of the first kind that it has: class logits, embeddings, or the pieces
// it guesses for masked ones (1 in 7 at once).
struct TextOutputs {
  enum class Kind { kNone, kLogits, kEmbeddings, kMaskedPieces } kind = Kind::kNone;
  TaskModel::Rows rows;         // kLogits, kEmbeddings: one a text
  std::vector<int32_t> pieces;  // kMaskedPieces
};
TextOutputs outputs_on_texts(const TaskModel& model, const std::vector<std::string>& texts);

// How far a model's outputs are from a reference model's. What does not apply is left out.
struct TextAgreement {
  const char* output = "nothing";  // "class logits", "embeddings", "masked words"
  int64_t rows = 0;
  std::optional<double> cosine_mean, cosine_min, top1;
};
// Of one kind, as many and as wide.
bool are_comparable(const TextOutputs& a, const TextOutputs& b);
TextAgreement compare_outputs(const TextOutputs& reference, const TextOutputs& model);

}  // namespace penjing
