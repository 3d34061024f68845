// Deep mutual learning on tiny models: what each peer's loss is, where its gradient goes, what is written.
#include "distill/mutual.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <numeric>

#include "base/error.h"
#include "distill/mutual_objective.h"
#include "distill/outputs_tap.h"
#include "io/model_folder.h"
#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"
#include "tests/distill/applied_step.h"
#include "tests/distill/tiny_task.h"
#include "tests/train/tiny_network.h"

namespace penjing {
namespace {

using testing::kQuiet;

class Mutual : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::write_tiny_folder(work_ / "model", testing::TinyHead::kSentence);
    tokenizer_ = Tokenizer::load(work_ / "model");
    testing::write_task(work_.path());
  }
  distill::MutualSettings settings(const std::string& out) const {
    distill::MutualSettings s;
    s.training = testing::tiny_training(work_.path(), out, 6);
    return s;
  }
  std::unique_ptr<train::Objective> objective(Model& model, uint64_t seed) {
    train::ObjectiveInput input;
    input.data.data = work_.path();
    input.pool = &pool_;
    input.seed = seed;
    return train::find_objective("classification")->make(model, *tokenizer_, input);
  }
  static std::string refusal(const distill::MutualSettings& settings) {
    return testing::refusal_of([&] { (void)distill::mutual(settings, kQuiet); });
  }
  static constexpr std::array<int64_t, 3> kExamples = {0, 1, 5};
  TestFolder work_{::testing::UnitTest::GetInstance()->current_test_info()->name()};
  ThreadPool pool_{1};
  std::shared_ptr<const Tokenizer> tokenizer_;
  testing::Forwarding forwarding_;
};

// The logits of a model, and its own loss.
struct Said {
  at::Tensor logits;
  at::Tensor loss;
};

TEST_F(Mutual, EachLearnsOfTheOthersAsConstants) {
  constexpr double kWeight = 0.7, kTemperature = 2;
  std::vector<Model> models;
  for (uint64_t seed : {1, 2, 3}) {
    models.push_back(read_model(work_ / "model"));
    (void)objective(models.back(), seed);
  }
  const auto task = objective(models[0], 1);
  const auto first = testing::make_network(models[0]);
  std::vector<std::unique_ptr<distill::Peer>> others;
  for (int64_t i : {1, 2}) others.push_back(distill::make_peer(models[i], i + 1, first->parameters));
  for (const auto& peer : others) {
    peer->network.model = &peer->model;
    peer->network.parameters = first->parameters;
    peer->network.encoder =
        std::make_unique<train::Encoder>(peer->model.description, peer->network.parameters);
  }
  const distill::MutualObjective together(objective(models[0], 1), std::move(others), kWeight, kTemperature,
                                          {});
  const train::LossSum sum = together.loss(*first, forwarding_.context, kExamples, 0);
  sum.sum.backward();

  // The same by hand, on networks that know nothing of each other.
  std::vector<std::unique_ptr<train::Network>> alone;
  std::vector<Said> said;
  for (Model& model : models) {
    alone.push_back(testing::make_network(model));
    distill::OutputsTap tap(model.description, {[](int64_t) { return 0u; }, distill::kLogits}, nullptr);
    train::ForwardContext watched = forwarding_.context;
    watched.tap = &tap;
    const at::Tensor loss = task->loss(*alone.back(), watched, kExamples, 0).sum;
    said.push_back({tap.take().logits, loss});
  }
  double wanted = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    at::Tensor loss = said[i].loss;
    for (std::size_t j = 0; j < 3; ++j) {
      if (j == i) continue;
      const at::Tensor p = at::softmax(said[j].logits.detach() / kTemperature, 1);
      const at::Tensor kl = (p * (p.log() - at::log_softmax(said[i].logits / kTemperature, 1))).sum(1).mean();
      loss = loss + kl * (kWeight * kTemperature * kTemperature / 2 * kExamples.size());
    }
    wanted += loss.item<double>();
    loss.backward();
    const std::string prefix = i == 0 ? "" : fmt::format("aside.peer{}.", i + 1);
    for (const auto& entry : alone[i]->parameters) {
      const at::Tensor gradient = first->parameters.at(prefix + entry.name).grad();
      ASSERT_EQ(gradient.defined(), entry.tensor.grad().defined()) << entry.name;
      if (!gradient.defined()) continue;
      EXPECT_LE((gradient - entry.tensor.grad()).abs().max().item<double>(),
                1e-5 * std::max(1e-2, entry.tensor.grad().abs().max().item<double>()))
          << prefix << entry.name;
    }
  }
  EXPECT_NEAR(sum.sum.item<double>(), wanted, 1e-5 * wanted);
  EXPECT_NE(said[0].logits[0][0].item<double>(), said[1].logits[0][0].item<double>());
}

TEST_F(Mutual, TheBestIsTheResultAndTheOthersLieBesideIt) {
  distill::MutualSettings s = settings("out");
  s.peers = 3;
  const distill::MutualResult result = distill::mutual(s, kQuiet);
  ASSERT_EQ(result.scores.size(), 3u);
  for (const double score : result.scores) EXPECT_LE(score, result.scores[result.best]);
  EXPECT_EQ(result.scores[result.best], 1);
  // Each is a model of its own that says what was scored.
  std::vector<Model> models;
  for (int64_t i = 0; i < 3; ++i) {
    const auto folder = i == result.best ? work_ / "out" : work_ / fmt::format("out.peer-{}", i + 1);
    models.push_back(read_model(folder));
    Model& model = models.back();
    for (const auto& [name, tensor] : model.tensors) EXPECT_EQ(name.find("aside"), std::string::npos) << name;
    EXPECT_FALSE(std::ranges::equal(
        model.tensors.at("encoder.layer.0.attention.self.query.weight").bytes,
        read_model(work_ / "model").tensors.at("encoder.layer.0.attention.self.query.weight").bytes))
        << "peer " << i + 1 << " has learned nothing";
    const auto task = objective(model, 9);  // the head is there, the seed is not asked
    const auto network = testing::make_network(model);
    train::ForwardContext quiet = forwarding_.context;
    quiet.training = false;
    const TaskResult scored = task->evaluate(*network, quiet);
    std::vector<std::size_t> all(scored.num_examples);
    std::iota(all.begin(), all.end(), std::size_t{0});
    EXPECT_EQ(scored.metrics.front().value(all), result.scores[i]);
  }
  EXPECT_FALSE(std::filesystem::exists(work_ / fmt::format("out.peer-{}", result.best + 1)));
  const auto words = [&](std::size_t i) { return models[i].tensors.at("classifier.weight").bytes; };
  EXPECT_FALSE(std::ranges::equal(words(0), words(1)));
  EXPECT_FALSE(std::ranges::equal(words(1), words(2)));
  s.training.out = work_ / "again";
  std::filesystem::create_directories(work_ / "again.peer-2");
  EXPECT_NE(refusal(s).find("again.peer-2"), std::string::npos) << refusal(s);
}

TEST_F(Mutual, AsAStepItGivesTheBest) {
  const auto [stepped, report] = testing::apply_step("mutual", read_model(work_ / "model"),
                                                     testing::two_epochs(work_.path()), work_ / "work");
  EXPECT_EQ(report.details.find("peers")->as_array("peers").size(), 2u);
  distill::MutualSettings s = settings("out");
  s.training.loop.epochs = 2;
  (void)distill::mutual(s, kQuiet);
  testing::expect_same_tensors(stepped, read_model(work_ / "out"));
}

TEST_F(Mutual, WhatDoesNotFitIsRefused) {
  distill::MutualSettings s = settings("out");
  s.training.loop.rules.layer_decay = 0.9;
  EXPECT_NE(refusal(s).find("layer_decay"), std::string::npos) << refusal(s);
  s = settings("out");
  s.training.fake_quant.emplace();
  EXPECT_NE(refusal(s).find("quantize_aware"), std::string::npos) << refusal(s);
  s = settings("out");
  s.training.task = "texts";
  s.training.eval_split = "";
  std::ofstream(work_ / "texts.txt") << "the cat\na dog\n";
  s.training.data.data = work_ / "texts.txt";
  EXPECT_NE(refusal(s).find("no labels"), std::string::npos) << refusal(s);
}

}  // namespace
}  // namespace penjing
