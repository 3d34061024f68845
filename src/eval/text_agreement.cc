#include "eval/text_agreement.h"

#include <algorithm>

#include "base/error.h"
#include "eval/agreement.h"

namespace penjing {

namespace {

constexpr int64_t kMaskEvery = 7;

}  // namespace

TextOutputs outputs_on_texts(const TaskModel& model, const std::vector<std::string>& texts) {
  TextOutputs outputs;
  if (model.classify) {
    outputs.kind = TextOutputs::Kind::kLogits;
    outputs.rows = model.classify(texts, {});
  } else if (model.embed) {
    outputs.kind = TextOutputs::Kind::kEmbeddings;
    outputs.rows = model.embed(texts);
  } else if (model.fill_masks) {
    outputs.kind = TextOutputs::Kind::kMaskedPieces;
    for (const auto& text : model.fill_masks(texts, kMaskEvery)) {
      for (const MaskedPiece& piece : text) outputs.pieces.push_back(piece.best);
    }
  }
  return outputs;
}

bool are_comparable(const TextOutputs& a, const TextOutputs& b) {
  return a.kind == b.kind && a.pieces.size() == b.pieces.size() &&
         std::equal(a.rows.begin(), a.rows.end(), b.rows.begin(), b.rows.end(),
                    [](const auto& x, const auto& y) { return x.size() == y.size(); });
}

TextAgreement compare_outputs(const TextOutputs& reference, const TextOutputs& model) {
  if (!are_comparable(reference, model)) {
    fail(ErrorKind::kInput, "the models give different outputs for the same texts: they cannot be compared");
  }
  TextAgreement result;
  if (model.kind == TextOutputs::Kind::kNone) return result;
  if (model.kind == TextOutputs::Kind::kMaskedPieces) {
    result.output = "masked words";
    result.rows = static_cast<int64_t>(model.pieces.size());
    int64_t equal = 0;
    for (std::size_t i = 0; i < model.pieces.size(); ++i)
      equal += model.pieces[i] == reference.pieces[i] ? 1 : 0;
    if (result.rows > 0) result.top1 = static_cast<double>(equal) / static_cast<double>(result.rows);
    return result;
  }
  const bool logits = model.kind == TextOutputs::Kind::kLogits;
  Agreement agreement;
  for (std::size_t i = 0; i < model.rows.size(); ++i)
    agreement.add(static_cast<int64_t>(i), reference.rows[i], model.rows[i], logits);
  result.output = logits ? "class logits" : "embeddings";
  result.rows = agreement.rows;
  result.cosine_mean = agreement.cosine_mean();
  result.cosine_min = agreement.cosine_min;
  if (logits) result.top1 = agreement.top1();
  return result;
}

}  // namespace penjing
