// Self-distillation with exits on tiny models: what each exit's loss is, where its gradient goes, what is
// written.
#include "distill/byot.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "distill/byot_objective.h"
#include "io/model_folder.h"
#include "model/exits.h"
#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"
#include "tests/distill/applied_step.h"
#include "tests/distill/tiny_task.h"
#include "tests/train/tiny_network.h"
#include "train/new_head.h"

namespace penjing {
namespace {

using testing::kQuiet;

class Byot : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::write_tiny_folder(work_ / "model", testing::TinyHead::kSentence, 4);
    tokenizer_ = Tokenizer::load(work_ / "model");
    testing::write_task(work_.path(), {"the cat sat\t0", "a dog ran in\t1", "a big red house\t2"});
  }
  distill::ByotSettings settings(const std::string& out) const {
    distill::ByotSettings s;
    s.training = testing::tiny_training(work_.path(), out, 2);
    return s;
  }
  std::unique_ptr<train::Objective> objective(Model& model, const Json& params = Json::object()) {
    train::ObjectiveInput input;
    input.data.data = work_.path();
    input.pool = &pool_;
    input.params = params;
    return train::find_objective("classification")->make(model, *tokenizer_, input);
  }
  static std::string refusal(const distill::ByotSettings& settings) {
    return testing::refusal_of([&] { (void)distill::byot(settings, kQuiet); });
  }
  static constexpr std::array<int64_t, 4> kExamples = {0, 1, 5, 9};
  TestFolder work_{::testing::UnitTest::GetInstance()->current_test_info()->name()};
  ThreadPool pool_{1};
  std::shared_ptr<const Tokenizer> tokenizer_;
  testing::Forwarding forwarding_;
};

// y = x W^T + b of a layer of the network.
at::Tensor product(const train::Network& network, const std::string& layer, const at::Tensor& x) {
  return at::matmul(x, network.parameters.at(layer + ".weight").t()) + network.parameters.at(layer + ".bias");
}

void add_exit(train::Network& network, const HeadSpec& head, uint64_t seed) {
  for (const LinearSpec* spec : {&head.dense, &head.projection}) {
    for (const auto& [name, shape] : {std::pair(spec->name + ".weight", Shape{spec->out, spec->in}),
                                      {spec->name + ".bias", Shape{spec->out}}})
      network.parameters.add(name, train::to_torch(train::draw_normal(shape, 0.3, seed, name), name));
  }
}

class ByotLoss : public Byot, public ::testing::WithParamInterface<ExitInput> {};
INSTANTIATE_TEST_SUITE_P(Inputs, ByotLoss, ::testing::Values(ExitInput::kFirstToken, ExitInput::kMean),
                         [](const auto& made) { return made.param == ExitInput::kMean ? "Mean" : "First"; });

TEST_P(ByotLoss, EachExitLearnsOfTheDeepestAsAConstant) {
  constexpr double kSoft = 0.4, kTemperature = 2.5, kFeatures = 0.7, kSmoothing = 0.1;
  Json params = Json::object({{"class_weights", Json(Json::Array{Json(1.0), Json(2.0), Json(0.5)})}});
  Model model = read_model(work_ / "model");
  auto task = objective(model, params);
  const HeadSpec classifier = *model.description.find_head(HeadKind::kSequenceClassifier);
  const distill::ExitLearning learning{{1, 3}, GetParam(), kSoft, kTemperature, kFeatures};
  const auto network = testing::make_network(model), by_hand = testing::make_network(model);
  for (const int64_t layer : learning.layers) {
    add_exit(*network, exit_head(classifier, layer), 3);
    add_exit(*by_hand, exit_head(classifier, layer), 3);
  }
  const distill::ByotObjective together(objective(model, params), classifier, learning, kSmoothing);
  const train::LossSum sum = together.loss(*network, forwarding_.context, kExamples, 0);
  sum.sum.backward();

  // By hand: the rows behind each layer from a tap, then the formula.
  class Rows final : public train::TensorTap {
   public:
    bool wants(std::string_view site) override {
      return site.ends_with(".output.out") || site == "classifier.out";
    }
    void on(std::string_view site, int layer, const at::Tensor& rows) override {
      if (site == "classifier.out") logits = rows;
      if (site.starts_with("encoder.layer.") && site.ends_with(".output.out")) by_layer[layer + 1] = rows;
    }
    std::map<int64_t, at::Tensor> by_layer;
    at::Tensor logits;
  } tap;
  train::ForwardContext watched = forwarding_.context;
  watched.tap = &tap;
  at::Tensor wanted = task->loss(*by_hand, watched, kExamples, 0).sum;
  std::vector<int64_t> first = {0};
  for (const int64_t i : kExamples)
    first.push_back(first.back() + static_cast<int64_t>(task->sequences(i)[0].ids.size()));
  first.pop_back();
  const auto features = [&](const std::string& dense, int64_t layer, ExitInput input) {
    std::vector<at::Tensor> read;
    for (std::size_t i = 0; i < first.size(); ++i) {
      const at::Tensor& rows = tap.by_layer.at(layer);
      const int64_t end = i + 1 < first.size() ? first[i + 1] : rows.size(0);
      const at::Tensor own = rows.slice(0, first[i], end);
      read.push_back(input == ExitInput::kMean ? own.mean({0}) : own[0]);
    }
    return product(*by_hand, dense, at::stack(read)).tanh();
  };
  const at::Tensor deepest = features("pooler.dense", 4, ExitInput::kFirstToken).detach();
  const at::Tensor p = at::softmax(tap.logits.detach() / kTemperature, 1);
  for (const int64_t layer : learning.layers) {
    const std::string base = fmt::format("exits.{}.", layer);
    const at::Tensor own = features(base + "dense", layer, GetParam());
    const at::Tensor logits = product(*by_hand, base + "classifier", own);
    const at::Tensor log_q = at::log_softmax(logits, 1);
    const at::Tensor kl = (p * (p.log() - at::log_softmax(logits / kTemperature, 1))).sum(1);
    for (std::size_t i = 0; i < kExamples.size(); ++i) {
      const auto at = static_cast<int64_t>(i);
      const at::Tensor hard =
          -(1 - kSmoothing) * log_q[at][task->class_of(kExamples[i])] - kSmoothing / 3 * log_q[at].sum();
      const at::Tensor apart = (own[at] - deepest[at]).pow(2).sum() / own.size(1);
      wanted = wanted +
               task->weight(kExamples[i]) *
                   ((1 - kSoft) * hard + kSoft * kTemperature * kTemperature * kl[at] + kFeatures * apart);
    }
  }
  EXPECT_NE(task->weight(kExamples[0]), task->weight(kExamples[1]));
  wanted.backward();
  EXPECT_NEAR(sum.sum.item<double>(), wanted.item<double>(), 1e-5 * wanted.item<double>());
  int64_t compared = 0;
  for (const auto& entry : by_hand->parameters) {
    const at::Tensor gradient = network->parameters.at(entry.name).grad();
    ASSERT_EQ(gradient.defined(), entry.tensor.grad().defined()) << entry.name;
    if (!gradient.defined()) continue;
    ++compared;  // the keys' biases have none but rounding
    EXPECT_LE((gradient - entry.tensor.grad()).abs().max().item<double>(),
              1e-5 * std::max(0.1, entry.tensor.grad().abs().max().item<double>()))
        << entry.name;
  }
  EXPECT_EQ(compared, static_cast<int64_t>(network->parameters.size()));
}

TEST_P(ByotLoss, NothingOfTheDeepestIsLearnedWithoutItsShares) {
  Model model = read_model(work_ / "model");
  const auto task = objective(model);
  const HeadSpec classifier = *model.description.find_head(HeadKind::kSequenceClassifier);
  std::vector<double> sums;
  for (const double scale : {1.0, 3.0}) {
    const auto network = testing::make_network(model);
    add_exit(*network, exit_head(classifier, 2), 3);
    {
      const at::NoGradGuard quiet;
      at::Tensor weight = network->parameters.at("classifier.weight");
      weight.mul_(scale);
    }
    const distill::ByotObjective labels(objective(model), classifier, {{2}, GetParam(), 0, 3, 0}, 0);
    sums.push_back(labels.loss(*network, forwarding_.context, kExamples, 0).sum.item<double>() -
                   task->loss(*network, forwarding_.context, kExamples, 0).sum.item<double>());
  }
  EXPECT_NEAR(sums[0], sums[1], 1e-5 * sums[0]);
}

TEST_F(Byot, TheResultHasExitsThatWereTrained) {
  distill::ByotSettings s = settings("out");
  s.exits.layers = {1, 3};
  s.exits.input = ExitInput::kMean;
  (void)distill::byot(s, kQuiet);
  const Model model = read_model(work_ / "out");
  const std::vector<ExitSpec> exits = read_exits(model);
  ASSERT_EQ(exits.size(), 2u);
  EXPECT_EQ(exits[1].layer, 3);
  EXPECT_EQ(exits[1].input, ExitInput::kMean);
  const auto bias = read_floats(model.tensors.at("exits.1.classifier.bias"), "bias");
  EXPECT_TRUE(std::any_of(bias.begin(), bias.end(), [](float v) { return v != 0; })) << "as it was drawn";
  // Trained further for something else they would tell of an encoder that is gone.
  std::string told;
  train::FinetuneSettings more = settings("more").training;
  more.model = (work_ / "out").string();
  (void)train::finetune(more, [&](const std::string& text) { told += text; });
  EXPECT_NE(told.find("exits go"), std::string::npos) << told;
  const Model further = read_model(work_ / "more");
  EXPECT_TRUE(read_exits(further).empty());
  EXPECT_EQ(further.tensors.find("exits.1.classifier.bias"), nullptr);
}

TEST_F(Byot, AsAStepItGivesTheSame) {
  const auto [stepped, report] = testing::apply_step("byot", read_model(work_ / "model"),
                                                     testing::two_epochs(work_.path()), work_ / "work");
  EXPECT_EQ(read_exits(stepped).size(), 3u);
  (void)distill::byot(settings("out"), kQuiet);
  testing::expect_same_tensors(stepped, read_model(work_ / "out"));
}

TEST_F(Byot, WhatDoesNotFitIsRefused) {
  EXPECT_TRUE(distill::read_exit_layers("all").empty());
  EXPECT_EQ(distill::read_exit_layers("2,4"), (std::vector<int64_t>{2, 4}));
  EXPECT_THROW((void)distill::read_exit_layers("2,x"), Error);
  distill::ByotSettings s = settings("out");
  for (const std::vector<int64_t>& layers : {std::vector<int64_t>{4}, {2, 2}, {3, 1}}) {
    s.exits.layers = layers;
    EXPECT_NE(refusal(s).find("from 1 to 3"), std::string::npos) << refusal(s);
  }
  s = settings("out");
  s.training.fake_quant.emplace();
  EXPECT_NE(refusal(s).find("quantize_aware"), std::string::npos) << refusal(s);
  s = settings("out");
  s.training.task = "regression";
  EXPECT_NE(refusal(s).find("no class"), std::string::npos) << refusal(s);
  testing::write_tiny_folder(work_ / "one", testing::TinyHead::kSentence, 1);
  s = settings("out");
  s.training.model = (work_ / "one").string();
  EXPECT_NE(refusal(s).find("1 layers"), std::string::npos) << refusal(s);
}

}  // namespace
}  // namespace penjing
