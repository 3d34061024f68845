// A masked-LM step of a two-layer MPNet against transformers' in double precision: the loss, and every
// parameter's gradient, that of the relative positions among them (tests/data/mpnet_reference.json).
#include <gtest/gtest.h>

#include "runtime/engine.h"
#include "tests/model/mpnet_reference.h"
#include "tests/train/gradient_reference.h"
#include "tests/train/tiny_network.h"

namespace penjing::train {
namespace {

using penjing::testing::Forwarding;
using penjing::testing::mpnet_reference;
using penjing::testing::mpnet_sequence;

Model complete_mpnet() {
  Model model = penjing::testing::tiny_mpnet();
  complete_model(model);
  return model;
}

RaggedBatch all_sequences() {
  RaggedBatch batch;
  for (std::size_t i = 0; i < 3; ++i) batch.append(mpnet_sequence("ids", i));
  return batch;
}

TEST(MPNet, LossAndGradientsAreThoseOfTransformers) {
  const Model model = complete_mpnet();
  const auto network = penjing::testing::make_network(model);
  const Forwarding forwarding;
  const RaggedBatch batch = all_sequences();
  std::vector<int64_t> rows, labels;
  for (std::size_t i = 0, token = 0; i < 3; ++i) {
    for (const int32_t label : mpnet_sequence("labels", i)) {
      if (label >= 0) {
        rows.push_back(static_cast<int64_t>(token));
        labels.push_back(label);
      }
      ++token;
    }
  }
  const PackedBatch packed = penjing::testing::pack_numbered(batch);
  const at::Tensor logits = run_head(model.description, network->parameters, HeadKind::kMaskedLm,
                                     network->encoder->forward(packed, forwarding.context), packed,
                                     at::tensor(rows, at::kLong), forwarding.context);
  const at::Tensor loss = at::cross_entropy_loss(logits, at::tensor(labels, at::kLong));
  loss.backward();
  EXPECT_NEAR(loss.item<double>() / mpnet_reference().find("loss")->as_double("loss"), 1, 1e-6);
  const Json& gradients = *mpnet_reference().find("gradients");
  penjing::testing::expect_gradients(gradients, network->parameters, 1e-4, "mpnet");
  EXPECT_NE(gradients.find("encoder.relative_attention_bias.weight"), nullptr);
}

TEST(MPNet, HiddenStatesAreThoseOfTheRuntime) {
  const Model model = complete_mpnet();
  const auto network = penjing::testing::make_network(model);
  const Forwarding forwarding;
  const RaggedBatch batch = all_sequences();
  const auto hidden = penjing::testing::to_vector(
      network->encoder->forward(penjing::testing::pack_numbered(batch), forwarding.context));
  const Prediction wanted = Engine::build(model)
                                ->new_session(std::make_shared<ThreadPool>(1))
                                ->predict(batch, {.kind = OutputKind::kHidden});
  EXPECT_LT(penjing::testing::relative_error(hidden, wanted.values), 1e-5);
}

// A sequence's gradient of the table does not depend on how long its batch mates are.
TEST(MPNet, TheBiasOfAShortSequenceIsItsOwnInALongBatch) {
  const Model model = complete_mpnet();
  const auto network = penjing::testing::make_network(model);
  const Forwarding forwarding;
  const auto gradient = [&](const RaggedBatch& batch) {
    network->parameters.zero_gradients();
    const at::Tensor hidden =
        network->encoder->forward(penjing::testing::pack_numbered(batch), forwarding.context);
    hidden.narrow(0, 0, 7).pow(3).sum().backward();
    return penjing::testing::to_vector(
        network->parameters.at("encoder.relative_attention_bias.weight").grad());
  };
  RaggedBatch alone;
  alone.append(mpnet_sequence("ids", 0));
  EXPECT_LT(penjing::testing::relative_error(gradient(all_sequences()), gradient(alone)), 1e-6);
}

}  // namespace
}  // namespace penjing::train
