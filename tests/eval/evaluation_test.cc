#include "eval/evaluation.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

Dataset labelled(const std::vector<std::pair<std::string, std::string>>& rows) {
  Dataset data;
  for (const auto& [text, label] : rows) data.examples.push_back({text, "", label, 1});
  return data;
}

// Embeds a text by its first letter.
TaskModel letter_model() {
  TaskModel model;
  model.embed = [](const std::vector<std::string>& texts) {
    std::vector<std::vector<float>> rows;
    for (const auto& text : texts) {
      const float angle = static_cast<float>(text[0] - 'a') / 10;
      rows.push_back({3 * std::cos(angle), 3 * std::sin(angle)});
    }
    return rows;
  };
  return model;
}

const Score& named(const std::vector<Score>& scores, const std::string& name) {
  for (const Score& s : scores) {
    if (s.name == name) return s;
  }
  ADD_FAILURE() << name;
  return scores.front();
}

TEST(Evaluation, NearestNeighbours) {
  std::vector<std::pair<std::string, std::string>> train;
  for (int i = 0; i < 12; ++i) train.insert(train.end(), {{"a", "low"}, {"j", "high"}});
  const TaskData data{labelled({{"b", "low"}, {"c", "low"}, {"i", "high"}, {"a", "high"}}), labelled(train)};
  const TaskResult result = find_task("classification")->run(letter_model(), data);
  EXPECT_EQ(result.outputs, (std::vector<double>{0, 0, 1, 0}));
  const auto scores = score(result);
  EXPECT_DOUBLE_EQ(named(scores, "accuracy").value, 0.75);
  EXPECT_LE(named(scores, "accuracy").interval.low, 0.75);
  EXPECT_GE(named(scores, "accuracy").interval.high, 0.75);
  EXPECT_NE(result.how.find("24 training texts"), std::string::npos);
}

TEST(Evaluation, OwnHeadByNameOrNumber) {
  TaskModel model;
  model.labels = {"bad", "good"};
  model.classify = [](const std::vector<std::string>& texts, const std::vector<std::string>&) {
    std::vector<std::vector<float>> rows;
    for (const auto& text : texts) rows.push_back({text == "x" ? 2.0f : 0.0f, 1.0f});
    return rows;
  };
  for (const auto& [bad, good] : {std::pair<const char*, const char*>{"bad", "good"}, {"0", "1"}}) {
    const TaskData data{labelled({{"x", bad}, {"y", good}, {"y", bad}}), {}};
    EXPECT_DOUBLE_EQ(named(score(find_task("mrpc")->run(model, data)), "f1").value, 2.0 / 3);
    EXPECT_DOUBLE_EQ(named(score(find_task("cola")->run(model, data)), "accuracy").value, 2.0 / 3);
  }
  EXPECT_NE(error_of([&] {
              (void)find_task("classification")->run(model, {labelled({{"x", "ugly"}}), {}});
            }).find("ugly"),
            std::string::npos);
}

TEST(Evaluation, Pairs) {
  TaskData data;
  data.test.pairs = true;
  const char* rows[][3] = {{"a", "a", "5"}, {"a", "c", "4"}, {"a", "f", "2.5"}, {"a", "j", "0"}};
  for (const auto& row : rows) data.test.examples.push_back({row[0], row[1], row[2], 1});
  const auto scores = score(find_task("stsb")->run(letter_model(), data));
  EXPECT_DOUBLE_EQ(named(scores, "spearmanr").value, 1);
  data.test.examples[1].label = "four";
  EXPECT_NE(error_of([&] { (void)find_task("stsb")->run(letter_model(), data); }).find("four"),
            std::string::npos);
  data.test.pairs = false;
  EXPECT_THROW((void)find_task("stsb")->run(letter_model(), data), Error);
}

// A difference that is there is found, one that is not is not.
TEST(Evaluation, PairedBootstrap) {
  constexpr std::size_t kExamples = 400;
  const auto metric = [](double rate, uint64_t seed) {
    std::vector<double> right(kExamples);
    Rng rng(seed);
    for (double& r : right) r = rng.uniform() < rate ? 1 : 0;
    return Metric{"accuracy", [right](std::span<const std::size_t> examples) {
                    double sum = 0;
                    for (const std::size_t i : examples) sum += right[i];
                    return sum / static_cast<double>(examples.size());
                  }};
  };
  const Difference real = compare_metric(metric(0.8, 1), metric(0.6, 2), kExamples);
  EXPECT_LT(real.p, 0.01);
  EXPECT_GT(real.interval.low, 0);
  const Difference none = compare_metric(metric(0.7, 3), metric(0.7, 4), kExamples);
  EXPECT_GT(none.p, 0.05);
  const Difference same = compare_metric(metric(0.7, 3), metric(0.7, 3), kExamples);
  EXPECT_EQ(same.value, 0);
  EXPECT_EQ(same.p, 1);
}

TEST(Evaluation, WhatAModelCannotDoIsSaid) {
  for (const Task* task : all_tasks()) {
    EXPECT_EQ(find_task(task->name), task);
    TaskData data{labelled({{"a", "1"}}), labelled({{"a", "1"}})};
    data.test.pairs = std::string(task->name) == "stsb";
    EXPECT_THROW((void)task->run(TaskModel(), data), Error) << task->name;
  }
  EXPECT_EQ(find_task("nothing"), nullptr);
}

}  // namespace
}  // namespace penjing
