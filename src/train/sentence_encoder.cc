#include "train/sentence_encoder.h"

#include "base/error.h"
#include "io/sentence_modules.h"
#include "train/new_head.h"

namespace penjing::train {

namespace {

PoolingMode mode_of(const std::string& name) {
  if (name == "cls") return PoolingMode::kCls;
  if (name == "max") return PoolingMode::kMax;
  if (name == "mean_sqrt_len") return PoolingMode::kMeanSqrtLen;
  if (name == "weightedmean") return PoolingMode::kWeightedMean;
  if (name == "lasttoken") return PoolingMode::kLastToken;
  return PoolingMode::kMean;
}

}  // namespace

void make_sentence_encoder(Model& model, ObjectiveParams& params, int64_t max_length, uint64_t seed) {
  const std::string pooling =
      params.word("pooling", {"own", "mean", "cls", "max", "mean_sqrt_len", "weightedmean", "lasttoken"});
  if (is_sentence_classifier(model))
    fail(ErrorKind::kInput, "the model's embeddings are logits of its classes; start from its encoder");
  if (!model.sentence.modules.empty()) {
    if (pooling != "own")
      fail(ErrorKind::kInput, "pooling \"{}\": the model has a pooling of its own", pooling);
    return;
  }
  give_head(model, "Model", {}, "", seed);
  add_pooling_modules(model, mode_of(pooling), false, max_length);
}

}  // namespace penjing::train
