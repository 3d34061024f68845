#include "eval/label_task.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <memory>

#include "base/error.h"
#include "eval/metrics.h"

namespace penjing {

namespace {

constexpr std::size_t kNeighbours = 10;

std::vector<std::string> texts_of(const Dataset& data) {
  std::vector<std::string> texts;
  for (const Example& example : data.examples) texts.push_back(example.text);
  return texts;
}

void normalize(std::vector<float>& row) {
  double sum = 0;
  for (const float x : row) sum += double{x} * x;
  const double length = std::max(std::sqrt(sum), 1e-12);
  for (float& x : row) x = static_cast<float>(x / length);
}

int class_of(const std::map<std::string, int>& numbers, const Dataset& data, const Example& example) {
  const auto found = numbers.find(example.label);
  if (found == numbers.end()) {
    fail(ErrorKind::kInput, "{}: line {}: label \"{}\" is none of the model's", data.file.string(),
         example.line, example.label);
  }
  return found->second;
}

// The data's labels as numbers of the head's outputs: by name; else, when all of them are numbers in range,
// as they are.
std::map<std::string, int> match_labels(const std::vector<std::string>& head, const Dataset& data) {
  std::map<std::string, int> numbers;
  for (std::size_t i = 0; i < head.size(); ++i) numbers[head[i]] = static_cast<int>(i);
  const bool by_name = std::all_of(data.examples.begin(), data.examples.end(),
                                   [&](const Example& example) { return numbers.contains(example.label); });
  if (by_name) return numbers;
  numbers.clear();
  for (std::size_t i = 0; i < head.size(); ++i) numbers[std::to_string(i)] = static_cast<int>(i);
  return numbers;
}

int vote(const std::vector<float>& row, const std::vector<std::vector<float>>& train,
         const std::vector<int>& classes) {
  std::vector<std::pair<float, std::size_t>> nearest(train.size());
  for (std::size_t i = 0; i < train.size(); ++i) {
    float sum = 0;
    for (std::size_t j = 0; j < row.size(); ++j) sum += row[j] * train[i][j];
    nearest[i] = {-sum, i};
  }
  const auto count = static_cast<std::ptrdiff_t>(std::min(kNeighbours, nearest.size()));
  std::partial_sort(nearest.begin(), nearest.begin() + count, nearest.end());
  std::map<int, double> votes;
  for (std::ptrdiff_t i = 0; i < count; ++i)
    votes[classes[nearest[static_cast<std::size_t>(i)].second]] -= nearest[static_cast<std::size_t>(i)].first;
  return std::max_element(votes.begin(), votes.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

}  // namespace

LabelledPredictions predict_labels(const TaskModel& model, const TaskData& data) {
  LabelledPredictions result;
  const Dataset& test = data.test;
  if (model.classify) {
    const auto numbers = match_labels(model.labels, test);
    std::vector<std::string> pairs;
    for (const Example& example : test.examples) {
      result.truth.push_back(class_of(numbers, test, example));
      if (test.pairs) pairs.push_back(example.pair);
    }
    for (const auto& logits : model.classify(texts_of(test), pairs)) {
      result.predicted.push_back(
          static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    }
    result.classes = model.labels;
    result.how = "own head";
    return result;
  }
  if (!model.embed)
    fail(ErrorKind::kUnsupported, "the model has neither a classification head nor a pooling");
  if (test.pairs)
    fail(ErrorKind::kUnsupported, "pairs of texts need a model with a classification head of its own");
  std::map<std::string, int> numbers;
  for (const Dataset* part : {&data.train, &test}) {
    for (const Example& example : part->examples) {
      if (numbers.emplace(example.label, static_cast<int>(numbers.size())).second)
        result.classes.push_back(example.label);
    }
  }
  std::vector<int> classes;
  for (const Example& example : data.train.examples) classes.push_back(numbers.at(example.label));
  for (const Example& example : test.examples) result.truth.push_back(numbers.at(example.label));
  auto train = model.embed(texts_of(data.train));
  auto rows = model.embed(texts_of(test));
  for (auto& row : train) normalize(row);
  for (auto& row : rows) {
    normalize(row);
    result.predicted.push_back(vote(row, train, classes));
  }
  result.how = fmt::format("{} nearest of {} training texts", kNeighbours, train.size());
  return result;
}

TaskResult label_result(LabelledPredictions predictions,
                        std::vector<std::pair<std::string, LabelMetric>> metrics) {
  const auto shared = std::make_shared<const LabelledPredictions>(std::move(predictions));
  TaskResult result;
  result.num_examples = shared->truth.size();
  result.how = shared->how;
  result.main_metric = metrics.front().first;
  result.outputs.assign(shared->predicted.begin(), shared->predicted.end());
  for (const auto& entry : metrics) {
    const LabelMetric metric = entry.second;
    result.metrics.push_back({entry.first, [shared, metric](std::span<const std::size_t> examples) {
                                std::vector<int> truth, predicted;
                                for (const std::size_t i : examples) {
                                  truth.push_back(shared->truth[i]);
                                  predicted.push_back(shared->predicted[i]);
                                }
                                return metric(truth, predicted);
                              }});
  }
  return result;
}

}  // namespace penjing
