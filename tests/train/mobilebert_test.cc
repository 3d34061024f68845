// A masked-LM step of MobileBERTs against transformers' in double precision: the loss, and every parameter's
// gradient (tests/data/mobilebert_reference.json).
#include "tests/model/mobilebert_reference.h"
#include "tests/train/family_step.h"

namespace penjing::train {
namespace {

using penjing::testing::Forwarding;
using penjing::testing::make_network;
using penjing::testing::mobilebert_batch;
using penjing::testing::mobilebert_reference;
using penjing::testing::pack_numbered;
using penjing::testing::relative_error;
using penjing::testing::to_vector;

TEST(MobileBert, LossAndGradientsAreThoseOfTransformers) {
  penjing::testing::expect_masked_lm_steps(mobilebert_reference());
}

TEST(MobileBert, HiddenStatesAndLogitsAreThoseOfTheRuntime) {
  penjing::testing::expect_as_runtime(mobilebert_reference());
}

// What a token's trigram reads beyond its sequence is nothing: its neighbours in the batch get no gradient.
TEST(MobileBert, TrigramsEndWithTheirSequence) {
  const Model model = penjing::testing::completed_model(mobilebert_reference(), "student");
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
