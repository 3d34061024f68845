// Several tasks on one encoder, on tiny models: whose gradients go where, what is written, who teaches what.
#include "distill/multitask.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <numeric>
#include <tuple>

#include "base/error.h"
#include "compress/params.h"
#include "distill/multitask_objective.h"
#include "distill/multitask_params.h"
#include "io/model_folder.h"
#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"
#include "tests/distill/applied_step.h"
#include "tests/distill/tiny_task.h"
#include "tests/train/tiny_network.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;

using testing::kQuiet;

// Two tasks on a tiny BERT: "verb" of two classes, 24 examples, and "colour" of three, 9 examples.
class Multitask : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("PENJING_CACHE", (work_ / "cache").c_str(), 1);
    testing::write_tiny_folder(work_ / "model", testing::TinyHead::kSentence);
    tokenizer_ = Tokenizer::load(work_ / "model");
    const std::vector<std::string> verbs = {"the cat sat\t0", "a dog ran\t1"};
    const std::vector<std::string> colours = {"big house\tx", "a red mat\ty", "the dog , in\tz"};
    for (const auto& [name, rows, count] : {std::tuple{"verb", verbs, 24}, {"colour", colours, 9}}) {
      fs::create_directories(work_ / name);
      testing::write_task(work_ / name, rows, count);
    }
  }

  Json given() const {
    return Json::object(
        {{"tasks", "classification,classification"},
         {"names", "verb,colour"},
         {"data", Json(Json::Array{Json((work_ / "verb").string()), Json((work_ / "colour").string())})},
         {"epochs", 12},
         {"batch_size", 4},
         {"learning_rate", 2e-3},
         {"precision", "fp32"}});
  }
  static distill::MultitaskSettings read(const Json& given) {
    const Json resolved = resolve_params("multitask", list_params<distill::MultitaskParams>(), given);
    return read_params<distill::MultitaskParams>(resolved).settings();
  }
  distill::MultitaskSettings settings(const Json& given, const std::string& out) const {
    distill::MultitaskSettings s = read(given);
    s.training.model = (work_ / "model").string();
    s.training.out = work_ / out;
    s.training.threads = 1;
    return s;
  }
  std::string refusal(const std::string& key, const Json& value) const {
    Json wrong = given();
    wrong.set(key, value);
    return testing::refusal_of([&] { (void)distill::multitask(settings(wrong, "refused"), kQuiet); });
  }
  static double score_of(const train::FinetuneResult& result, const std::string& name) {
    for (const auto& [metric, value] : result.loop.evaluations.back().scores) {
      if (metric == name) return value;
    }
    return -1;
  }
  std::unique_ptr<train::Objective> objective(const std::string& task, Model& model) {
    train::ObjectiveInput input;
    input.data.data = work_ / task;
    input.pool = &pool_;
    return train::find_objective("classification")->make(model, *tokenizer_, input);
  }

  TestFolder work_{::testing::UnitTest::GetInstance()->current_test_info()->name()};
  ThreadPool pool_{1};
  std::shared_ptr<const Tokenizer> tokenizer_;
  testing::Forwarding forwarding_;
};

// A step of the second task gives the gradients that it gives alone; the encoder's are the first one's, the
// head's among its parameters, and the first one's head has none.
TEST_F(Multitask, AStepIsOneTasksOnTheSharedEncoder) {
  Model first = read_model(work_ / "model"), second = first, alone = first;
  auto one = std::make_unique<distill::LearnedTask>(), two = std::make_unique<distill::LearnedTask>();
  one->name = "verb";
  one->objective = objective("verb", first);
  two->name = "colour";
  two->model = second;
  two->objective = objective("colour", two->model);
  const auto network = testing::make_network(first);
  distill::share_encoder(*two, network->parameters);
  distill::add_own_parameters(*two, network->parameters);
  network->parameters.move_to(at::kCPU);  // as before training: what is shared stays so
  std::vector<std::unique_ptr<distill::LearnedTask>> tasks;
  tasks.push_back(std::move(one));
  tasks.push_back(std::move(two));
  const distill::MultitaskObjective both(std::move(tasks), 1, {});
  ASSERT_EQ(both.num_examples(), 33);
  EXPECT_EQ(both.target(1), "1");
  EXPECT_EQ(both.target(24 + 2), "z");
  EXPECT_EQ(both.class_of(24 + 5), 2);

  const std::array<int64_t, 3> examples = {24, 25, 30}, own = {0, 1, 6};
  const train::LossSum loss = both.loss(*network, forwarding_.context, examples, 0);
  loss.sum.backward();
  ASSERT_EQ(loss.details.front().first.substr(0, 7), "colour.");

  const auto task = objective("colour", alone);
  const auto by_itself = testing::make_network(alone);
  const at::Tensor wanted = task->loss(*by_itself, forwarding_.context, own, 0).sum;
  wanted.backward();
  EXPECT_EQ(loss.sum.item<float>(), wanted.item<float>());
  std::size_t compared = 0;
  for (const auto& entry : by_itself->parameters) {
    const bool head = entry.name.starts_with("classifier.") || entry.name.starts_with("pooler.");
    const at::Tensor got = network->parameters.at((head ? "aside.colour." : "") + entry.name).grad();
    ASSERT_EQ(got.defined(), entry.tensor.grad().defined()) << entry.name;
    if (!got.defined()) continue;
    EXPECT_TRUE(got.equal(entry.tensor.grad())) << entry.name;
    if (head) {
      EXPECT_FALSE(network->parameters.at(entry.name).grad().defined()) << entry.name;
    }
    ++compared;
  }
  EXPECT_GT(compared, 30u);
}

TEST_F(Multitask, WritesAModelATaskThatSaysWhatWasScored) {
  const auto result = distill::multitask(settings(given(), "out"), kQuiet);
  EXPECT_EQ(score_of(result, "verb.accuracy"), 1);
  EXPECT_EQ(score_of(result, "colour.accuracy"), 1);
  EXPECT_EQ(result.loop.evaluations.back().scores.front().first, "mean");
  EXPECT_EQ(score_of(result, "mean"), 1);
  EXPECT_EQ(result.loop.steps, 12 * (6 + 3));
  const Model before = read_model(work_ / "model");
  Model verb = read_model(work_ / "out" / "verb"), colour = read_model(work_ / "out" / "colour");
  EXPECT_EQ(verb.id2label.size(), 2u);
  EXPECT_EQ(colour.id2label, (std::vector<std::string>{"x", "y", "z"}));
  for (const auto& [name, tensor] : verb.tensors) {
    EXPECT_EQ(name.find("aside"), std::string::npos) << name;
    if (name.starts_with("classifier.") || name.starts_with("pooler.")) continue;
    EXPECT_TRUE(std::ranges::equal(tensor.bytes, colour.tensors.at(name).bytes)) << name;
    if (name.ends_with("query.weight")) {
      EXPECT_FALSE(std::ranges::equal(tensor.bytes, before.tensors.at(name).bytes)) << name;
    }
  }
  for (const auto& [name, model] : {std::pair{"verb", &verb}, {"colour", &colour}}) {
    const auto task = objective(name, *model);
    const auto network = testing::make_network(*model);
    train::ForwardContext quiet = forwarding_.context;
    quiet.training = false;
    const TaskResult scored = task->evaluate(*network, quiet);
    std::vector<std::size_t> all(scored.num_examples);
    std::iota(all.begin(), all.end(), std::size_t{0});
    EXPECT_EQ(scored.metrics.front().value(all), 1) << name;
  }
}

// A teacher that says the opposite of the labels, for one task of two.
TEST_F(Multitask, EachTaskHasItsOwnTeacher) {
  std::ofstream answers(work_ / "wrong.jsonl");
  for (int i = 0; i < 24; ++i) answers << (i % 2 == 0 ? "[-3, 3]\n" : "[3, -3]\n");
  answers.close();
  Json taught = given();
  taught.set("teacher", (work_ / "wrong.jsonl").string() + ",none");
  taught.set("of_task", Json::object({{"verb", Json::object({{"label_weight", 0},
                                                             {"losses", Json::parse(R"([{"loss": "mse",
                                     "params": {"of": "logits"}}])",
                                                                                    "")}})}}));
  const auto result = distill::multitask(settings(taught, "out"), kQuiet);
  EXPECT_EQ(score_of(result, "verb.accuracy"), 0);
  EXPECT_EQ(score_of(result, "colour.accuracy"), 1);
}

// Weights by gradients are those that each task finds where it learns alone.
TEST_F(Multitask, BalancesTheLossesOfEachTask) {
  for (const auto& [name, answer, count] :
       {std::tuple{"verb", "[-1, 3]\n", 16}, {"colour", "[1, 0, -2]\n", 4}}) {
    std::ofstream answers(work_ / (std::string(name) + ".jsonl"));
    for (int i = 0; i < count; ++i) answers << answer;
  }
  const Json limits = Json::parse(R"({"verb": {"limit": 16}, "colour": {"limit": 4}})", "");
  Json taught = given();
  taught.set("teacher", (work_ / "verb.jsonl").string() + "," + (work_ / "colour.jsonl").string());
  taught.set(
      "losses",
      Json::parse(R"([{"loss": "kd"}, {"loss": "mse", "params": {"of": "logits"}, "balance": 1}])", ""));
  taught.set("of_task", limits);
  taught.set("epochs", 1);
  for (const char* key : {"dropout", "attention_dropout", "classifier_dropout"}) taught.set(key, 0);
  const auto weight = [&](const std::string& out, const char* task) {
    std::ifstream log(work_ / (out + ".training") / "train.jsonl");
    for (std::string line; std::getline(log, line);) {
      const Json entry = Json::parse(line, "train.jsonl");
      if (const Json* event = entry.find("event"); event == nullptr || event->as_string("event") != "begin")
        continue;
      const Json* found = task != nullptr ? entry.find(task) : &entry;
      if (found != nullptr) return found->find("weights")->find("mse")->as_double("mse");
    }
    return -1.0;
  };
  std::string said;
  const distill::MultitaskSettings both = settings(taught, "both");
  (void)distill::multitask(both, [&](const std::string& text) { said += text; });
  EXPECT_NE(said.find("colour: weights, by gradients of kd: mse "), std::string::npos) << said;
  for (const distill::TaskOfSeveral& task : both.tasks) {
    distill::DistillSettings alone = task.distill;
    alone.training.model = both.training.model;
    alone.training.loop = both.training.loop;
    alone.training.threads = 1;
    alone.training.out = work_ / ("alone-" + task.name);
    (void)distill::distill(alone, kQuiet);
    const double wanted = weight("alone-" + task.name, nullptr);
    EXPECT_GT(wanted, 0);
    EXPECT_NEAR(weight("both", task.name.c_str()) / wanted, 1, 1e-4) << task.name;
  }
}

// Every task as often, whatever its size.
TEST_F(Multitask, TakesPartByItsSizeToAPower) {
  std::string said;
  distill::MultitaskSettings s = settings(given(), "out");
  s.size_exponent = 0;
  s.training.loop.rehearsal = 1;
  (void)distill::multitask(s, [&](const std::string& text) { said += text; });
  EXPECT_NE(said.find("50.0 %"), std::string::npos) << said;
}

// From its newest checkpoint a run goes on to the same bytes, of every task.
TEST_F(Multitask, GoesOnToTheSameBytes) {
  distill::MultitaskSettings s = settings(given(), "out");
  s.size_exponent = 0.5;
  s.training.loop.save_steps = 25;
  (void)distill::multitask(s, kQuiet);
  fs::rename(work_ / "out", work_ / "whole");
  s.training.resume = true;
  const auto resumed = distill::multitask(s, kQuiet);
  EXPECT_GE(resumed.loop.first_step, 25);
  EXPECT_LT(resumed.loop.first_step, resumed.loop.steps);
  for (const char* task : {"verb", "colour"}) {
    testing::expect_same_tensors(read_model(work_ / "out" / task), read_model(work_ / "whole" / task), task);
  }
  s.size_exponent = 1;  // another run
  fs::remove_all(work_ / "out");
  EXPECT_THROW((void)distill::multitask(s, kQuiet), Error);
}

TEST_F(Multitask, AsAStepItGivesTheFirstTasksModel) {
  Json short_one = given();
  short_one.set("epochs", 1);
  const auto [stepped, report] =
      testing::apply_step("multitask", read_model(work_ / "model"), short_one, work_ / "work");
  EXPECT_NE(report.details.find("scores")->find("colour.accuracy"), nullptr);
  (void)distill::multitask(settings(short_one, "out"), kQuiet);
  testing::expect_same_tensors(stepped, read_model(work_ / "out" / "verb"));
}

TEST_F(Multitask, WhatDoesNotFitIsRefused) {
  const auto refused = [&](const std::string& key, const Json& value, const std::string& why) {
    const std::string said = refusal(key, value);
    EXPECT_NE(said.find(why), std::string::npos) << key << ": " << said;
  };
  refused("names", "verb,verb", "--names");
  refused("names", "verb", "1 for 2 tasks");
  refused("names", "verb,../colour", "letters");
  refused("tasks", "classification", "two or more");
  refused("teacher", "none", "1 for 2 tasks");
  refused("data", Json(Json::Array{Json(work_.path().string())}), "1 for 2 tasks");
  refused("of_task", Json::object({{"size", Json::object()}}), "no task size");
  refused("of_task", Json::object({{"verb", Json::object({{"epochs", 3}})}}), "unknown parameter");
}

}  // namespace
}  // namespace penjing
