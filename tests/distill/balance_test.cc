// Weights that count in gradients: the formula, and that what a run measures is what its terms' gradients
// are.
#include "distill/balance.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/mapped_file.h"
#include "distill/distill.h"
#include "distill/distill_params.h"
#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"
#include "tests/distill/tiny_task.h"

namespace penjing {
namespace {

const distill::ModelShape kShape{{32, 32, 32}, {2, 2}, 2, 32};

distill::Plan plan_of(const char* losses) {
  return distill::read_plan(Json::parse(losses, "plan"), kShape, kShape);
}

TEST(Balance, FactorsAreRatiosOfGradients) {
  const distill::Plan plan = plan_of(R"([{"loss": "kd", "weight": 0.9}, {"loss": "sp", "balance": 2},
    {"loss": "mse", "weight": 5}, {"loss": "at", "weight": [0, 3], "ramp": 0.5, "balance": 1}])");
  const std::vector<double> lengths = {4, 1e-5, 0, 0.25};
  const auto length = [&](std::size_t term) { return lengths[term]; };
  const std::vector<double> factors = distill::balance_factors(plan, length);
  ASSERT_EQ(factors.size(), 4u);
  EXPECT_EQ(factors[0], 1);
  EXPECT_DOUBLE_EQ(factors[1], 2 * 0.9 * 4 / 1e-5);
  EXPECT_EQ(factors[2], 1);  // its gradient is not asked for
  EXPECT_DOUBLE_EQ(factors[3], 0.9 * 4 / 0.25);
  EXPECT_EQ(distill::balance_factors(plan_of(R"([{"loss": "kd"}, {"loss": "sp"}])"),
                                     [](std::size_t) -> double { throw std::logic_error("asked"); }),
            (std::vector<double>{1, 1}));
}

TEST(Balance, IsMeasuredWhereTheWeightIsLargest) {
  for (const char* losses : {R"([{"loss": "kd", "from": 0.5}])",
                             R"([{"loss": "kd", "weight": [0, 1], "from": 0.25, "ramp": 0.25}])",
                             R"([{"loss": "kd", "weight": [0, 1], "to": 0.5}])",
                             R"([{"loss": "kd", "weight": [1, 0], "to": 0.5}])"}) {
    const distill::LossTerm term = plan_of(losses).terms[0];
    EXPECT_NEAR(distill::weight_at(term, distill::peak_of(term)), 1, 1e-9) << losses;
  }
}

TEST(Balance, IsMeasuredWhereTheStudentLearnsOfIt) {
  EXPECT_EQ(distill::peak_of(plan_of(R"([{"loss": "ft"}])").terms[0]), 0.1);
  EXPECT_EQ(distill::peak_of(plan_of(R"([{"loss": "ft", "from": 0.25}])").terms[0]), 0.25);
  EXPECT_EQ(distill::peak_of(plan_of(R"([{"loss": "ft", "params": {"paraphraser": 0.5}}])").terms[0]), 0.5);
}

TEST(Balance, WhatMakesNoSenseIsRefused) {
  const auto refused = [&](const char* losses, const char* why) {
    const std::string error = testing::refusal_of([&] { (void)plan_of(losses); });
    EXPECT_NE(error.find(why), std::string::npos) << losses << ": " << error;
  };
  refused(R"([{"loss": "kd", "balance": 1}])", "losses.0.balance");
  refused(R"([{"loss": "kd"}, {"loss": "sp", "balance": -1}])", "losses.1.balance");
  refused(R"([{"loss": "kd"}, {"loss": "sp", "weight": 0, "balance": 1}])", "losses.1.balance");
  refused(R"([{"loss": "kd"}, {"loss": "mse", "progressive": true, "balance": 1}])", "take turns");
  const distill::Plan plan = plan_of(R"([{"loss": "kd"}, {"loss": "sp", "balance": 1}])");
  for (const double length : {0.0, std::numeric_limits<double>::infinity()}) {
    const std::string error = testing::refusal_of([&] {
      (void)distill::balance_factors(plan, [&](std::size_t term) { return term == 0 ? 1 : length; });
    });
    EXPECT_NE(error.find("sp has"), std::string::npos) << error;
  }
}

TEST(Balance, NamesAloneSayNoWeight) {
  distill::DistillParams params;
  params.teacher = "teacher";
  params.training.task = "classification";
  params.training.data = "reviews";
  for (const Json& losses : {Json("kd,pkd"), Json::parse(R"(["kd", "pkd"])", "losses")}) {
    params.losses = losses;
    EXPECT_EQ(params.settings().losses.dump(), R"([{"loss":"kd"},{"loss":"pkd","balance":1}])");
  }
}

class BalanceRun : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("PENJING_CACHE", (work_ / "cache").c_str(), 1);
    testing::write_tiny_folder(work_ / "model", testing::TinyHead::kSentence);
    testing::write_task(work_.path());
    train::FinetuneSettings s = training("teacher");
    s.loop.learning_rate = 1e-2;
    (void)train::finetune(s, testing::kQuiet);
  }
  train::FinetuneSettings training(const std::string& out) const {
    // Every step sees the student as it starts.
    train::FinetuneSettings s = testing::tiny_training(work_.path(), out, 1, 1e-9);
    s.eval_split = "";
    s.loop.max_steps = 4;
    return s;
  }
  std::vector<train::StepLog> steps_of(const std::string& out, const std::string& losses) {
    distill::DistillSettings s;
    s.training = training(out);
    s.teacher = (work_ / "teacher").string();
    s.label_weight = 0;
    s.losses = Json::parse(losses, "losses");
    std::vector<train::StepLog> steps;
    (void)distill::distill(
        s, [&](const std::string& text) { told_ += text; },
        [&](const train::StepLog& log) { steps.push_back(log); });
    return steps;
  }
  static double mean_gradient(const std::vector<train::StepLog>& steps) {
    double sum = 0;
    for (const train::StepLog& step : steps) sum += step.gradient_norm;
    return sum / static_cast<double>(steps.size());
  }
  static double detail(const train::StepLog& step, const std::string& name) { return step.details.at(name); }
  TestFolder work_{::testing::UnitTest::GetInstance()->current_test_info()->name()};
  std::string told_;
};

// Losses of hidden states alone: all of their gradient is the encoder's.
TEST_F(BalanceRun, MeasuresTheGradientsOfTheFirstSteps) {
  const double first = mean_gradient(steps_of("mse", R"([{"loss": "mse"}])"));
  const double other = mean_gradient(steps_of("at", R"([{"loss": "at"}])"));
  ASSERT_GT(first, 0);
  ASSERT_GT(other, 0);
  for (const double balance : {1.0, 0.25}) {
    const std::vector<train::StepLog> both =
        steps_of(fmt::format("both-{}", balance),
                 fmt::format(R"([{{"loss": "mse"}}, {{"loss": "at", "balance": {}}}])", balance));
    const train::StepLog& step = both.front();
    const double weight = (step.loss - detail(step, "mse")) / detail(step, "at");
    EXPECT_NEAR(weight / (balance * first / other), 1, 1e-3);
  }
  EXPECT_NE(told_.find("weights, by gradients of mse: at "), std::string::npos) << told_;
  const std::string log = read_text_file(work_ / "both-0.25.training/train.jsonl", 1 << 20);
  EXPECT_NE(log.find(R"("event":"begin","weights":{"at":)"), std::string::npos) << log;
}

TEST_F(BalanceRun, EveryLossHasOneByItsName) {
  int tried = 0;
  for (const distill::LossKind* kind : distill::all_losses()) {
    const std::string name = kind->name;
    const unsigned needs = kind->needs(distill::resolve_loss_params(*kind, Json::object()));
    const bool of_other_tasks = (needs & (distill::kTokenLogits | distill::kEmbeddings)) != 0;
    if (name == "kd" || name == "margin_mse" || of_other_tasks) continue;
    distill::DistillParams params;
    params.teacher = (work_ / "teacher").string();
    params.training.task = "classification";
    params.training.data = work_.path().string();
    params.losses = Json("kd," + name);
    told_.clear();
    EXPECT_EQ(steps_of("by-name-" + name, params.settings().losses.dump()).size(), 4u);
    EXPECT_NE(told_.find("by gradients of kd: " + name), std::string::npos) << told_;
    ++tried;
  }
  EXPECT_GE(tried, 18);
}

// A memory bank is as it would be had nobody looked.
TEST_F(BalanceRun, LeavesNoTraceInMemories) {
  const auto crd = [&](const std::string& out, const std::string& more) {
    const auto steps =
        steps_of(out, R"([{"loss": "mse"}, {"loss": "crd", "params": {"of": "first"}}, )" + more + "]");
    return detail(steps.back(), "crd");
  };
  EXPECT_EQ(crd("plain", R"({"loss": "at", "weight": 1e-12})"),
            crd("balanced", R"({"loss": "at", "weight": 1e-12, "balance": 1e-6})"));
}

}  // namespace
}  // namespace penjing
