#include "distill/loss_kind.h"

#include <array>

#include "distill/loss.h"

namespace penjing::distill {

#define PENJING_LOSS(name) extern const LossKind name##_loss;
#include "distill/losses.def"
#undef PENJING_LOSS

namespace {

constexpr std::array kLosses = {
#define PENJING_LOSS(name) &name##_loss,
#include "distill/losses.def"
#undef PENJING_LOSS
};

}  // namespace

std::span<const LossKind* const> all_losses() {
  return kLosses;
}

const LossKind* find_loss(std::string_view name) {
  for (const LossKind* kind : kLosses) {
    if (name == kind->name) return kind;
  }
  return nullptr;
}

Json resolve_loss_params(const LossKind& kind, const Json& given) {
  return resolve_params(kind.name, kind.params(), given);
}

std::string describe_needs(unsigned needs) {
  constexpr std::pair<unsigned, const char*> kWords[] = {
      {kLogits, "logits"},
      {kTokenLogits, "token logits"},
      {kEmbeddings, "sentence embeddings"},
      {kRows, "hidden states"},
      {kFirst, "hidden states of first tokens"},
      {kQuery, "queries"},
      {kKey, "keys"},
      {kValue, "values"},
      {kScores, "attention scores"},
      {kAttention, "attention"},
      {kLabels, "labels"},
  };
  std::string text;
  for (const auto& [need, word] : kWords) {
    if ((needs & need) != 0) text += (text.empty() ? "" : ", ") + std::string(word);
  }
  return text;
}

}  // namespace penjing::distill
