// classification and regression: their losses by hand from the logits, and that micro batches change nothing.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "io/model_folder.h"
#include "tests/cli/tiny_folder.h"
#include "tests/compress/tiny_model.h"
#include "tests/train/tiny_network.h"
#include "train/batches.h"

namespace penjing::train {
namespace {

namespace fs = std::filesystem;
using penjing::testing::Forwarding;

class Objectives : public ::testing::Test {
 protected:
  fs::path work_ =
      fs::path(::testing::TempDir()) / ("penjing_objectives_" + std::to_string(::getpid()) + "_" +
                                        ::testing::UnitTest::GetInstance()->current_test_info()->name());
  ThreadPool pool_{1};
  std::shared_ptr<const Tokenizer> tokenizer_;
  Model model_;
  std::unique_ptr<Network> network_;

  void SetUp() override {
    fs::create_directories(work_);
    penjing::testing::write_tiny_folder(work_ / "model", penjing::testing::TinyHead::kSentence);
    tokenizer_ = Tokenizer::load(work_ / "model");
    model_ = read_model(work_ / "model");
  }
  void TearDown() override { fs::remove_all(work_); }

  std::unique_ptr<Objective> make(const std::string& name, const std::string& file, Json params) {
    std::ofstream(work_ / "train.tsv") << file;
    ObjectiveInput input;
    input.data.data = work_ / "train.tsv";
    input.data.pool = &pool_;
    input.eval_split = "";
    input.max_length = 16;
    params.set("task", name);
    input.params = params;
    input.pool = &pool_;
    auto objective = find_objective(name)->make(model_, *tokenizer_, input);
    network_ = penjing::testing::make_network(model_);
    return objective;
  }

  at::Tensor logits_of(const Objective& objective, const Forwarding& forwarding, int64_t example) const {
    RaggedBatch batch;
    for (const Sequence& sequence : objective.sequences(example)) batch.append(sequence.ids, sequence.types);
    const PackedBatch packed = pack(batch, {example});
    return run_head(model_.description, network_->parameters, HeadKind::kSequenceClassifier,
                    network_->encoder->forward(packed, forwarding.context), packed, at::Tensor(),
                    forwarding.context)
        .to(at::kDouble)[0];
  }

  // Sum of the losses and gradients of all examples, in forwards of at most `tokens`.
  std::pair<double, std::vector<at::Tensor>> in_parts(const Objective& objective, int64_t tokens) {
    const Forwarding forwarding(0.2);
    std::vector<int64_t> examples, lengths;
    for (int64_t i = 0; i < objective.num_examples(); ++i) {
      examples.push_back(i);
      lengths.push_back(static_cast<int64_t>(objective.sequences(i)[0].ids.size()));
    }
    network_->parameters.zero_gradients();
    double sum = 0;
    for (const auto part : split_by_tokens(examples, lengths, tokens)) {
      const LossSum loss = objective.loss(*network_, forwarding.context, part, 0);
      loss.sum.backward();
      sum += loss.sum.item<double>();
    }
    std::vector<at::Tensor> gradients;
    for (const Parameters::Entry& entry : network_->parameters) {
      if (entry.tensor.grad().defined()) gradients.push_back(entry.tensor.grad().clone());
    }
    return {sum, gradients};
  }

  void expect_parts_to_agree(const Objective& objective) {
    const auto [whole, gradients] = in_parts(objective, 1000);
    for (const int64_t tokens : {1, 14}) {
      const auto [sum, others] = in_parts(objective, tokens);
      EXPECT_NEAR(sum / whole, 1, 1e-5);
      ASSERT_EQ(others.size(), gradients.size());
      for (std::size_t i = 0; i < gradients.size(); ++i) {
        EXPECT_LE((others[i] - gradients[i]).norm().item<double>(),
                  1e-4 * gradients[i].norm().item<double>() + 1e-6);
      }
    }
  }
};

constexpr const char* kClasses =
    "sentence\tlabel\nthe cat sat\tyes\nthe dog ran in a house\tno\na big red mat .\tyes\non the mat\tmaybe\n"
    "the house\tyes\n";

TEST_F(Objectives, ClassificationIsWeightedSmoothedCrossEntropy) {
  const auto objective = make("classification", kClasses,
                              Json::object({{"label_smoothing", 0.1}, {"class_weights", "balanced"}}));
  EXPECT_EQ(model_.id2label, (std::vector<std::string>{"maybe", "no", "yes"}));
  const int64_t truth[] = {2, 1, 2, 0, 2};
  const double weights[] = {5 / 3.0, 5 / 3.0, 5 / 9.0};  // n / (classes * count)
  const Forwarding forwarding;
  double wanted = 0;
  for (int64_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(objective->weight(i), weights[truth[i]], 1e-6);
    const at::Tensor log_share = at::log_softmax(logits_of(*objective, forwarding, i), 0);
    wanted -= 0.9 * weights[truth[i]] * log_share[truth[i]].item<double>();
    for (int64_t c = 0; c < 3; ++c) wanted -= 0.1 / 3 * weights[c] * log_share[c].item<double>();
  }
  const int64_t all[] = {0, 1, 2, 3, 4};
  EXPECT_NEAR(objective->loss(*network_, forwarding.context, all, 0).sum.item<double>() / wanted, 1, 1e-5);
  expect_parts_to_agree(*objective);
}

TEST_F(Objectives, RegressionIsSquaredErrorOrBinaryCrossEntropy) {
  const char* file = "sentence\tscore\nthe cat sat\t0.25\nthe dog ran in a house\t1\na mat .\t0\n";
  const double truth[] = {0.25, 1, 0};
  for (const char* loss : {"mse", "bce"}) {
    model_ = read_model(work_ / "model");
    const auto objective = make("regression", file, Json::object({{"loss", loss}}));
    const Forwarding forwarding;
    double wanted = 0;
    for (int64_t i = 0; i < 3; ++i) {
      const double x = logits_of(*objective, forwarding, i)[0].item<double>(), p = 1 / (1 + std::exp(-x));
      wanted += std::string(loss) == "mse" ? (x - truth[i]) * (x - truth[i])
                                           : -truth[i] * std::log(p) - (1 - truth[i]) * std::log(1 - p);
    }
    const int64_t all[] = {0, 1, 2};
    EXPECT_NEAR(objective->loss(*network_, forwarding.context, all, 0).sum.item<double>() / wanted, 1, 1e-5)
        << loss;
    expect_parts_to_agree(*objective);
  }
  model_ = read_model(work_ / "model");
  EXPECT_THROW(make("regression", "sentence\tscore\na\t3\nthe\t0\n", Json::object({{"loss", "bce"}})), Error);
}

TEST_F(Objectives, WhatCannotBeLearnedIsRefused) {
  EXPECT_THROW(make("classification", "sentence\tlabel\nthe\tyes\ncat\tyes\n", Json::object()), Error);
  EXPECT_THROW(make("classification", kClasses, Json::object({{"label_smoothing", 1.0}})), Error);
  EXPECT_THROW(
      make("classification", kClasses, Json::object({{"class_weights", Json(Json::Array{Json(1)})}})), Error);
  EXPECT_EQ(find_objective("no such task"), nullptr);
  EXPECT_EQ(find_objective("sst2"), find_objective("classification"));
  EXPECT_EQ(find_objective("stsb"), find_objective("regression"));
}

}  // namespace
}  // namespace penjing::train
