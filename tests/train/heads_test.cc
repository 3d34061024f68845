// Heads and sentence embeddings against the runtime's.
#include <gtest/gtest.h>

#include "runtime/engine.h"
#include "tests/compress/tiny_model.h"
#include "tests/runtime/tiny_models.h"
#include "tests/train/tiny_network.h"

namespace penjing::train {
namespace {

using penjing::testing::Forwarding;
using penjing::testing::make_network;
using penjing::testing::pack_numbered;
using penjing::testing::relative_error;
using penjing::testing::to_vector;

Prediction run(const Model& model, const RaggedBatch& batch, OutputKind kind) {
  return Engine::build(model)->new_session(std::make_shared<ThreadPool>(1))->predict(batch, {.kind = kind});
}

RaggedBatch some_batch() {
  Rng rng(3);
  return penjing::testing::random_batch(rng, 6, 30, 61);
}

TEST(Heads, LogitsAreThoseOfTheRuntime) {
  const Model model = penjing::testing::make_bert_like(4);
  const auto network = make_network(model);
  const Forwarding forwarding;
  const RaggedBatch batch = some_batch();
  const PackedBatch packed = pack_numbered(batch);
  const at::Tensor hidden = network->encoder->forward(packed, forwarding.context);
  for (const auto& [head, output] : {std::pair(HeadKind::kPooler, OutputKind::kPooled),
                                     std::pair(HeadKind::kSequenceClassifier, OutputKind::kClassLogits),
                                     std::pair(HeadKind::kTokenClassifier, OutputKind::kTokenLogits),
                                     std::pair(HeadKind::kMaskedLm, OutputKind::kMaskedLogits),
                                     std::pair(HeadKind::kQuestionAnswering, OutputKind::kSpanLogits)}) {
    ASSERT_NE(model.description.find_head(head), nullptr) << to_string(output);
    const at::Tensor logits = run_head(model.description, network->parameters, head, hidden, packed,
                                       at::Tensor(), forwarding.context);
    EXPECT_LT(relative_error(to_vector(logits), run(model, batch, output).values), 1e-5) << to_string(output);
  }
}

TEST(Heads, ChosenRowsAreThoseOfAllRows) {
  const Model model = penjing::testing::make_bert_like(4);
  const auto network = make_network(model);
  const Forwarding forwarding;
  const PackedBatch packed = pack_numbered(some_batch());
  const at::Tensor hidden = network->encoder->forward(packed, forwarding.context);
  const auto logits = [&](const at::Tensor& rows) {
    return run_head(model.description, network->parameters, HeadKind::kMaskedLm, hidden, packed, rows,
                    forwarding.context);
  };
  const at::Tensor rows = at::tensor({2, 5, 9}, at::kLong);
  EXPECT_LT(relative_error(to_vector(logits(rows)), to_vector(logits(at::Tensor()).index_select(0, rows))),
            1e-6);
}

TEST(Heads, AModelWithoutTheHeadIsRefused) {
  const Model model = penjing::testing::make_mixed(2);
  const auto network = make_network(model);
  const Forwarding forwarding;
  const PackedBatch packed = pack_numbered(some_batch());
  const at::Tensor hidden = network->encoder->forward(packed, forwarding.context);
  EXPECT_THROW(run_head(model.description, network->parameters, HeadKind::kSequenceClassifier, hidden, packed,
                        at::Tensor(), forwarding.context),
               Error);
}

TEST(Embeddings, EveryPoolingIsThatOfTheRuntime) {
  Model model = penjing::testing::make_bert_like(4);
  const RaggedBatch batch = some_batch();
  const PackedBatch packed = pack_numbered(batch);
  const Forwarding forwarding;
  const std::vector<std::vector<PoolingMode>> choices = {
      {PoolingMode::kCls},
      {PoolingMode::kMean},
      {PoolingMode::kMax},
      {PoolingMode::kMeanSqrtLen},
      {PoolingMode::kWeightedMean},
      {PoolingMode::kLastToken},
      {PoolingMode::kCls, PoolingMode::kMax, PoolingMode::kMean}};
  Rng rng(8);
  for (const auto& modes : choices) {
    const int64_t width = 32 * static_cast<int64_t>(modes.size());
    SentenceModule pooling, dense, normalize;
    pooling.pooling.modes = modes;
    dense.kind = SentenceModule::Kind::kDense;
    dense.dense.name = "2_Dense.linear";
    dense.dense.in = width;
    dense.dense.out = 9;
    dense.activation = Activation::kTanh;
    model.tensors.set("2_Dense.linear.weight", random_tensor({9, width}, rng));
    model.tensors.set("2_Dense.linear.bias", random_tensor({9}, rng));
    normalize.kind = SentenceModule::Kind::kNormalize;
    for (const auto& modules :
         {std::vector{pooling}, std::vector{pooling, normalize}, std::vector{pooling, dense, normalize}}) {
      model.sentence.modules = modules;
      const auto network = make_network(model);
      const at::Tensor hidden = network->encoder->forward(packed, forwarding.context);
      const at::Tensor vectors =
          embed_sentences(model, network->parameters, hidden, packed, forwarding.context);
      EXPECT_LT(relative_error(to_vector(vectors), run(model, batch, OutputKind::kEmbedding).values), 1e-5)
          << "mode " << static_cast<int>(modes[0]) << " of " << modes.size() << ", " << modules.size()
          << " modules";
      vectors.square().sum().backward();  // every pooling has a gradient
      EXPECT_TRUE(network->parameters.at(model.description.embedding.word + ".weight").grad().defined());
    }
  }
}

}  // namespace
}  // namespace penjing::train
