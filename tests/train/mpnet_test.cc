// A masked-LM step of a two-layer MPNet against transformers' in double precision: the loss, and every
// parameter's gradient, that of the relative positions among them (tests/data/mpnet_reference.json).
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/engine.h"
#include "tests/model/mpnet_reference.h"
#include "tests/train/reference_file.h"
#include "tests/train/tiny_network.h"

namespace penjing::train {
namespace {

using penjing::testing::formula_number;
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

// The norm of the difference to the stored tensor, estimated by its products with vectors of signs.
double distance(const std::string& name, const at::Tensor& tensor, const Json& stored) {
  const at::Tensor flat = tensor.detach().to(at::kDouble).contiguous();
  const std::vector<double> wanted = penjing::testing::doubles(*stored.find("probes"));
  double square = 0;
  for (std::size_t p = 0; p < wanted.size(); ++p) {
    const std::string key = name + "#" + std::to_string(p);
    double product = 0;
    for (int64_t i = 0; i < flat.numel(); ++i) {
      const bool negative = (formula_number(key, static_cast<uint64_t>(i)) >> 63) != 0;
      product += negative ? -flat.data_ptr<double>()[i] : flat.data_ptr<double>()[i];
    }
    square += (product - wanted[p]) * (product - wanted[p]);
  }
  return std::sqrt(square / static_cast<double>(wanted.size()));
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
  double global = 0;
  for (const auto& [name, stored] : gradients.as_object("gradients"))
    global += std::pow(stored.find("norm")->as_double("norm"), 2);
  global = std::sqrt(global);
  std::size_t compared = 0;
  for (const Parameters::Entry& entry : network->parameters) {
    const Json* stored = gradients.find(entry.name);
    ASSERT_NE(stored, nullptr) << entry.name;
    ++compared;
    ASSERT_TRUE(entry.tensor.grad().defined()) << entry.name;
    const double norm = stored->find("norm")->as_double("norm");
    // The gradient of a key's bias is mathematically zero.
    EXPECT_LE(distance(entry.name, entry.tensor.grad(), *stored), 1e-4 * norm + 1e-6 * global) << entry.name;
  }
  EXPECT_EQ(compared, gradients.as_object("gradients").size());
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
