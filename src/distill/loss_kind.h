#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "compress/method.h"

// The distillation losses as a recipe and the command line see them. No LibTorch here; a loss at work is in
// loss.h, how places of student and teacher are matched in plan.h.
namespace penjing::distill {

class Loss;
struct LossSetup;

// What a loss reads of both sides (Side in loss.h); bits of LossKind::needs.
enum Need : unsigned {
  kLogits = 1u << 0,  // of the task's head: [examples, classes], or one row of scores a list of candidates
  kTokenLogits = 1u << 1,  // of the masked-LM head
  kEmbeddings = 1u << 2,   // of sentences
  kRows = 1u << 3,         // hidden states of matched layers
  kQuery = 1u << 4,
  kKey = 1u << 5,
  kValue = 1u << 6,
  kScores = 1u << 7,     // attention before softmax; of as many heads on both sides
  kAttention = 1u << 8,  // attention after softmax, given as logarithms; of as many heads on both sides
  kLabels = 1u << 9,     // of the examples
  // Rows or embeddings are as wide on both sides: the plan projects where they differ.
  kEqualWidths = 1u << 10,
  // Queries, keys and values are of as many heads on both sides.
  kEqualHeads = 1u << 11,
  kFirst = 1u << 12  // of matched layers the hidden states of first tokens alone, in the place of kRows
};
inline constexpr unsigned kStates = kRows | kFirst;
inline constexpr unsigned kLayered = kStates | kQuery | kKey | kValue | kScores | kAttention;
std::string describe_needs(unsigned needs);  // "hidden states, labels"

// One loss: a file in distill/losses/, a line in losses.def.
struct LossKind {
  const char* name;     // "rkd"
  const char* summary;  // one line
  const char* source;   // the paper
  std::vector<ParamInfo> (*params)();
  unsigned (*needs)(const Json& params);  // of resolved parameters
  std::unique_ptr<Loss> (*make)(const Json& params, const LossSetup& setup);
  // The share of the training before which the student gets no gradient of it; null: 0.
  double (*begins)(const Json& params) = nullptr;
};
std::span<const LossKind* const> all_losses();  // in the order of losses.def
const LossKind* find_loss(std::string_view name);

// Fills defaults and checks; kInput errors name the loss and the parameter.
Json resolve_loss_params(const LossKind& kind, const Json& given);

}  // namespace penjing::distill
