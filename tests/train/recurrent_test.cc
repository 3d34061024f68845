// The BiLSTM in the trainer: PyTorch's numbers and gradients, and what the runtime gives.
#include "train/recurrent.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "runtime/engine.h"
#include "tests/model/tiny_bilstm.h"
#include "tests/runtime/tiny_models.h"
#include "tests/train/reference_file.h"
#include "tests/train/tiny_network.h"
#include "train/task_model.h"

namespace penjing::train {
namespace {

at::Tensor logits_of(const Network& network, const PackedBatch& batch, const ForwardContext& context) {
  return run_head(network.model->description, network.parameters, HeadKind::kSequenceClassifier,
                  network.encoder->forward(batch, context), batch, at::Tensor(), context);
}

TEST(TrainRecurrent, GivesPyTorchsNumbersAndGradients) {
  const Json file = testing::bilstm_reference();
  for (const Json& reference : file.find("cases")->as_array("cases")) {
    const Model model = testing::reference_bilstm(*file.find("sizes"), reference);
    const auto network = testing::make_network(model);
    const testing::Forwarding forwarding;
    const PackedBatch batch = testing::pack_numbered(testing::reference_batch(reference));
    const at::Tensor logits = logits_of(*network, batch, forwarding.context);
    const auto want = [&](const std::string& what, const at::Tensor& got, const Json& wanted) {
      const auto numbers = testing::doubles(wanted);
      EXPECT_LT(testing::relative_error(testing::to_vector(got), {numbers.begin(), numbers.end()}), 2e-6)
          << what;
    };
    want("logits", logits, *reference.find("logits"));
    const at::Tensor weights = at::tensor(testing::doubles(*reference.find("weights"))).to(at::kFloat);
    (logits.reshape({-1}) * weights).sum().backward();
    for (const auto& [name, gradient] : reference.find("gradients")->as_object("gradients"))
      want(name, network->parameters.at(name).grad(), gradient);
  }
}

TEST(TrainRecurrent, GivesWhatTheRuntimeGives) {
  Rng rng(4);
  for (const auto& [siamese, attention] : {std::pair{false, 0}, {true, 0}, {false, 5}, {true, 5}}) {
    const Model model =
        testing::tiny_bilstm({.width = 12, .size = 7, .siamese = siamese, .attention = attention}, 2);
    RaggedBatch ragged = testing::random_batch(rng, 40, 25, model.description.embedding.vocab_size);
    if (siamese) {
      ragged.type_ids.assign(ragged.ids.size(), 0);
      for (int64_t i = 0; i < ragged.num_sequences(); ++i) {
        for (int64_t t = (ragged.length(i) + 1) / 2; t < ragged.length(i); ++t)
          ragged.type_ids[static_cast<std::size_t>(ragged.offsets[static_cast<std::size_t>(i)] + t)] = 1;
      }
    }
    const auto network = testing::make_network(model);
    const testing::Forwarding forwarding;
    const at::Tensor logits = logits_of(*network, testing::pack_numbered(ragged), forwarding.context);
    const auto session = Engine::build(model)->new_session(std::make_shared<ThreadPool>(1));
    Request request;
    request.kind = OutputKind::kClassLogits;
    EXPECT_LT(testing::relative_error(testing::to_vector(logits), session->predict(ragged, request).values),
              2e-6);
  }
}

}  // namespace
}  // namespace penjing::train
