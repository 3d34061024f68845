#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "eval/statistics.h"

namespace penjing {

// What a task asks of a model: rows of floats for texts. Given by whoever has a runtime.
struct TaskModel {
  std::vector<std::string> labels;  // of its own classification head, in order; empty: none
  std::function<std::vector<std::vector<float>>(const std::vector<std::string>&)>
      embed;  // unset: it has no pooling
  // Logits of its head for texts, or for pairs where `pairs` is not empty.
  std::function<std::vector<std::vector<float>>(const std::vector<std::string>& texts,
                                                const std::vector<std::string>& pairs)>
      classify;
};

// One score as a function of the examples that count, so that it can be resampled.
struct Metric {
  std::string name;  // "accuracy", "spearmanr": the keys of Hugging Face's evaluate
  std::function<double(std::span<const std::size_t> examples)> value;
};

struct TaskResult {
  std::string main_metric;
  std::vector<Metric> metrics;
  std::size_t num_examples = 0;
  std::vector<double> outputs;  // one an example: the predicted class or score, for agreement
  std::string how;              // "own head", "10 nearest neighbours in train": for the reader
};

struct TaskData {
  Dataset test;
  Dataset train;  // empty when the task needs none
};

// A kind of task: a file in eval/tasks/, a line in tasks.def.
struct Task {
  const char* name;
  const char* summary;
  bool uses_train;  // when the model has no head of its own
  TaskResult (*run)(const TaskModel& model, const TaskData& data);
};
std::span<const Task* const> all_tasks();
const Task* find_task(const std::string& name);

struct Score {
  std::string name;
  double value = 0;
  Interval interval;  // 95 %, percentile bootstrap over examples
};
std::vector<Score> score(const TaskResult& result, uint64_t seed = 1, int resamples = 1000);

// The difference of two models on one metric over the same examples: mean and 95 % interval of model -
// reference by paired bootstrap, and the share of resamples on the other side of zero, twice (a two-sided p
// value, at most 1).
struct Difference {
  double value = 0;
  Interval interval;
  double p = 1;
};
Difference compare_metric(const Metric& model, const Metric& reference, std::size_t num_examples,
                          uint64_t seed = 1, int resamples = 1000);

}  // namespace penjing
