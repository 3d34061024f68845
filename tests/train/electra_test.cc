// A masked-LM step of ELECTRAs against transformers' in double precision: the loss, and every parameter's
// gradient (tests/data/electra_reference.json); hidden states and logits against the runtime.
#include <gtest/gtest.h>

#include "runtime/engine.h"
#include "tests/model/family_reference.h"
#include "tests/train/gradient_reference.h"
#include "tests/train/tiny_network.h"
#include "train/masked_lm_loss.h"

namespace penjing::train {
namespace {

using penjing::testing::Forwarding;
using penjing::testing::make_network;
using penjing::testing::pack_numbered;
using penjing::testing::relative_error;
using penjing::testing::to_vector;

const penjing::testing::FamilyReference& reference() {
  static const penjing::testing::FamilyReference known("electra");
  return known;
}

Model completed(const std::string& shape, bool classifies = false) {
  Model model = reference().model(shape, classifies);
  complete_model(model);
  return model;
}

TEST(Electra, LossAndGradientsAreThoseOfTransformers) {
  for (const std::string& shape : reference().shapes()) {
    const Model model = completed(shape);
    const auto network = make_network(model);
    std::vector<int64_t> rows, labels;
    int64_t token = 0;
    for (std::size_t i = 0; i < reference().num_sequences(); ++i) {
      for (const int32_t label : reference().sequence("labels", i)) {
        if (label >= 0) {
          rows.push_back(token);
          labels.push_back(label);
        }
        ++token;
      }
    }
    const Forwarding forwarding;
    const PackedBatch packed = pack_numbered(reference().batch());
    const at::Tensor hidden = network->encoder->forward(packed, forwarding.context);
    const at::Tensor loss =
        masked_lm_loss(model.description, network->parameters, hidden, packed, at::tensor(rows, at::kLong),
                       at::tensor(labels, at::kLong), forwarding.context) /
        static_cast<double>(rows.size());
    loss.backward();
    EXPECT_NEAR(loss.item<double>() / reference().shape(shape).find("loss")->as_double("loss"), 1, 1e-6);
    penjing::testing::expect_gradients(*reference().shape(shape).find("gradients"), network->parameters, 2e-5,
                                       shape);
  }
}

TEST(Electra, HiddenStatesAndLogitsAreThoseOfTheRuntime) {
  for (const std::string& shape : reference().shapes()) {
    for (const bool classifies : {false, true}) {
      const Model model = completed(shape, classifies);
      const auto network = make_network(model);
      const Forwarding forwarding;
      const RaggedBatch batch = reference().batch();
      const PackedBatch packed = pack_numbered(batch);
      const auto session = Engine::build(model)->new_session(std::make_shared<ThreadPool>(1));
      const at::Tensor hidden = network->encoder->forward(packed, forwarding.context);
      EXPECT_LT(
          relative_error(to_vector(hidden), session->predict(batch, {.kind = OutputKind::kHidden}).values),
          1e-5);
      const auto kind = classifies ? HeadKind::kSequenceClassifier : HeadKind::kMaskedLm;
      const auto output = classifies ? OutputKind::kClassLogits : OutputKind::kMaskedLogits;
      const at::Tensor logits = run_head(model.description, network->parameters, kind, hidden, packed,
                                         at::Tensor(), forwarding.context);
      EXPECT_LT(relative_error(to_vector(logits), session->predict(batch, {.kind = output}).values), 1e-5);
    }
  }
}

}  // namespace
}  // namespace penjing::train
