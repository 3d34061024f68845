#include "eval/label_task.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <memory>

#include "base/error.h"
#include "eval/linear_probe.h"

namespace penjing {

namespace {

constexpr std::size_t kNeighbours = 10;

struct Predictions {
  std::vector<int> truth, predicted;
  std::string how;
};

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

Predictions by_own_head(const TaskModel& model, const Dataset& test) {
  Predictions result;
  const auto numbers = match_labels(model.labels, test);
  for (const Example& example : test.examples) result.truth.push_back(class_of(numbers, test, example));
  for (const auto& logits : model.classify(texts_of(test), pairs_of(test))) {
    result.predicted.push_back(
        static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
  }
  result.how = "own head";
  return result;
}

std::vector<int> by_neighbours(TaskModel::Rows train, const std::vector<int>& classes, TaskModel::Rows rows) {
  std::vector<int> predicted;
  for (auto& row : train) normalize(row);
  for (auto& row : rows) {
    normalize(row);
    predicted.push_back(vote(row, train, classes));
  }
  return predicted;
}

// Embeddings of texts; of pairs |u - v| and u * v.
TaskModel::Rows features_of(const TaskModel& model, const Dataset& data) {
  TaskModel::Rows rows = model.embed(texts_of(data));
  if (!data.pairs) return rows;
  const TaskModel::Rows others = model.embed(pairs_of(data));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t width = rows[i].size();
    rows[i].resize(2 * width);
    for (std::size_t j = 0; j < width; ++j) {
      const float u = rows[i][j], v = others[i][j];
      rows[i][j] = std::fabs(u - v);
      rows[i][width + j] = u * v;
    }
  }
  return rows;
}

Predictions by_embeddings(const TaskModel& model, const TaskInput& input, const Dataset& test,
                          const Dataset& train) {
  if (test.pairs && input.classifier == Classifier::kNeighbours)
    fail(ErrorKind::kUnsupported,
         "pairs of texts need a model with a classification head of its own, or --classifier linear");
  Predictions result;
  std::map<std::string, int> numbers;
  for (const Dataset* part : {&train, &test}) {
    for (const Example& example : part->examples)
      numbers.emplace(example.label, static_cast<int>(numbers.size()));
  }
  std::vector<int> classes;
  for (const Example& example : train.examples) classes.push_back(numbers.at(example.label));
  for (const Example& example : test.examples) result.truth.push_back(numbers.at(example.label));
  TaskModel::Rows learned = features_of(model, train), rows = features_of(model, test);
  if (input.classifier == Classifier::kNeighbours) {
    result.predicted = by_neighbours(std::move(learned), classes, std::move(rows));
    result.how = fmt::format("{} nearest of {} training texts", kNeighbours, train.examples.size());
    return result;
  }
  const LinearProbe probe =
      fit_linear_probe(learned, classes, static_cast<int>(numbers.size()), {}, input.pool);
  for (const auto& row : rows) result.predicted.push_back(probe.classifier.predict(row));
  result.how = fmt::format("linear probe on {} training texts, C = {}", train.examples.size(), probe.c);
  return result;
}

}  // namespace

TaskResult run_label_task(const TaskModel& model, const TaskInput& input, const Dataset& test,
                          const std::function<Dataset()>& read_train_texts,
                          const std::vector<std::pair<std::string, LabelMetric>>& metrics) {
  if (!model.classify && !model.embed)
    fail(ErrorKind::kUnsupported, "the model has neither a classification head nor a pooling");
  const auto shared = std::make_shared<const Predictions>(
      model.classify ? by_own_head(model, test) : by_embeddings(model, input, test, read_train_texts()));
  TaskResult result;
  result.num_examples = shared->truth.size();
  result.file = test.file;
  result.reading = test.reading;
  result.how = shared->how;
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

TaskResult run_label_task(const TaskModel& model, const TaskInput& input,
                          const std::vector<std::pair<std::string, LabelMetric>>& metrics) {
  return run_label_task(
      model, input, read_test(input), [&] { return read_train(input); }, metrics);
}

}  // namespace penjing
