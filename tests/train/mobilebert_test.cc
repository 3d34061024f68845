// A masked-LM step of MobileBERTs against transformers' in double precision: the loss, and every parameter's
// gradient (tests/data/mobilebert_reference.json).
#include <gtest/gtest.h>

#include "runtime/engine.h"
#include "tests/model/mobilebert_reference.h"
#include "tests/train/gradient_reference.h"
#include "tests/train/tiny_network.h"
#include "train/masked_lm_loss.h"

namespace penjing::train {
namespace {

using penjing::testing::Forwarding;
using penjing::testing::kMobileBertShapes;
using penjing::testing::make_network;
using penjing::testing::mobilebert_batch;
using penjing::testing::mobilebert_reference;
using penjing::testing::pack_numbered;
using penjing::testing::relative_error;
using penjing::testing::to_vector;

Model completed(const std::string& shape, bool classifies = false) {
  Model model = penjing::testing::tiny_mobilebert(shape, classifies);
  complete_model(model);
  return model;
}

struct Masked {
  std::vector<int64_t> rows, labels;
};
Masked masked_words() {
  Masked masked;
  int64_t token = 0;
  for (std::size_t i = 0; i < mobilebert_reference().num_sequences(); ++i) {
    for (const int32_t label : mobilebert_reference().sequence("labels", i)) {
      if (label >= 0) {
        masked.rows.push_back(token);
        masked.labels.push_back(label);
      }
      ++token;
    }
  }
  return masked;
}

at::Tensor loss_of(const Network& network, int64_t slice_rows) {
  static const Forwarding forwarding;
  const Masked masked = masked_words();
  const PackedBatch packed = pack_numbered(mobilebert_batch());
  const at::Tensor hidden = network.encoder->forward(packed, forwarding.context);
  return masked_lm_loss(network.model->description, network.parameters, hidden, packed,
                        at::tensor(masked.rows, at::kLong), at::tensor(masked.labels, at::kLong),
                        forwarding.context, slice_rows) /
         static_cast<double>(masked.rows.size());
}

TEST(MobileBert, LossAndGradientsAreThoseOfTransformers) {
  for (const std::string shape : kMobileBertShapes) {
    for (const int64_t slice_rows : {0, 4}) {  // 4: logits are made again in the backward
      const Model model = completed(shape);
      const auto network = make_network(model);
      const at::Tensor loss = loss_of(*network, slice_rows);
      loss.backward();
      const Json& reference = mobilebert_reference().shape(shape);
      EXPECT_NEAR(loss.item<double>() / reference.find("loss")->as_double("loss"), 1, 1e-6);
      penjing::testing::expect_gradients(*reference.find("gradients"), network->parameters, 2e-5, shape);
    }
  }
}

TEST(MobileBert, HiddenStatesAndLogitsAreThoseOfTheRuntime) {
  for (const std::string shape : kMobileBertShapes) {
    for (const bool classifies : {false, true}) {
      const Model model = completed(shape, classifies);
      const auto network = make_network(model);
      const Forwarding forwarding;
      const RaggedBatch batch = mobilebert_batch();
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

// What a token's trigram reads beyond its sequence is nothing: its neighbours in the batch get no gradient.
TEST(MobileBert, TrigramsEndWithTheirSequence) {
  const Model model = completed("student");
  const auto network = make_network(model);
  const Forwarding forwarding;
  const auto gradient = [&](const RaggedBatch& batch, int64_t begin, int64_t length) {
    network->parameters.zero_gradients();
    const at::Tensor hidden = network->encoder->forward(pack_numbered(batch), forwarding.context);
    hidden.narrow(0, begin, length).pow(3).sum().backward();
    return to_vector(network->parameters.at("embeddings.word_embeddings.weight").grad());
  };
  EXPECT_LT(relative_error(gradient(mobilebert_batch(), 1, 9), gradient(mobilebert_batch(1), 0, 9)), 1e-6);
}

TEST(MobileBert, TrigramsAreNextThisBefore) {
  const at::Tensor rows = at::tensor({1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f}).view({3, 2});
  const at::Tensor got = trigrams(rows, at::tensor({0, 1, 0}, at::kLong), {0, 2, 3});
  EXPECT_EQ(to_vector(got), (std::vector<float>{3, 4, 1, 2, 0, 0, 0, 0, 3, 4, 1, 2, 0, 0, 5, 6, 0, 0}));
}

}  // namespace
}  // namespace penjing::train
