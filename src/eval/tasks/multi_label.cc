// multi-label: texts with any number of labels (a cell "a,b", or a JSON list); a label is predicted where its
// logit is above 0 (a probability above 1/2). Micro F1 (the main one), macro F1 over the labels that occur in
// truth or predictions, and accuracy: the share of texts with exactly the right labels, as in scikit-learn.
#include <algorithm>
#include <memory>

#include "base/error.h"
#include "base/hash.h"
#include "eval/evaluation.h"

namespace penjing {

namespace {

struct Outcome {
  std::vector<uint8_t> truth, predicted;  // a text's, of each label
};
using Outcomes = std::vector<Outcome>;

struct Counts {
  double right = 0, predicted = 0, there = 0;
  double f1() const { return predicted + there > 0 ? 2 * right / (predicted + there) : 0; }
};

void count(const Outcome& outcome, std::size_t label, Counts& counts) {
  counts.right += outcome.truth[label] != 0 && outcome.predicted[label] != 0 ? 1 : 0;
  counts.predicted += outcome.predicted[label];
  counts.there += outcome.truth[label];
}

double micro_f1(const Outcomes& outcomes, std::span<const std::size_t> examples) {
  Counts counts;
  for (const std::size_t i : examples) {
    for (std::size_t label = 0; label < outcomes[i].truth.size(); ++label) count(outcomes[i], label, counts);
  }
  return counts.f1();
}

double macro_f1(const Outcomes& outcomes, std::span<const std::size_t> examples) {
  double sum = 0, labels = 0;
  for (std::size_t label = 0; !outcomes.empty() && label < outcomes[0].truth.size(); ++label) {
    Counts counts;
    for (const std::size_t i : examples) count(outcomes[i], label, counts);
    if (counts.predicted + counts.there == 0) continue;
    sum += counts.f1();
    labels += 1;
  }
  return labels > 0 ? sum / labels : 0;
}

double exact(const Outcomes& outcomes, std::span<const std::size_t> examples) {
  double right = 0;
  for (const std::size_t i : examples) right += outcomes[i].truth == outcomes[i].predicted ? 1 : 0;
  return examples.empty() ? 0 : right / static_cast<double>(examples.size());
}

// A number for a set of labels, the same for the same set: FNV-1a, the 52 bits that a double holds.
double number_of(const std::vector<uint8_t>& labels) {
  return static_cast<double>(fnv1a({reinterpret_cast<const char*>(labels.data()), labels.size()}) >> 12);
}

TaskResult run(const TaskModel& model, const TaskInput& input) {
  if (!model.classify) fail(ErrorKind::kUnsupported, "the model has no classification head");
  Dataset test = read_dataset(find_split(input.data, input.split.empty() ? "test" : input.split),
                              input.columns, EmptyLabels::kAllowed);
  if (input.limit > 0 && test.examples.size() > input.limit) test.examples.resize(input.limit);
  const auto outcomes = std::make_shared<Outcomes>();
  std::vector<std::string> texts, pairs;
  for (const Example& example : test.examples) {
    texts.push_back(example.text);
    if (test.pairs) pairs.push_back(example.pair);
    Outcome outcome{std::vector<uint8_t>(model.labels.size(), 0), {}};
    for (const std::string& label : labels_of(test, example)) {
      const auto found = std::find(model.labels.begin(), model.labels.end(), label);
      if (found == model.labels.end())
        fail(ErrorKind::kInput, "{}: line {}: label \"{}\" is none of the model's", test.file.string(),
             example.line, label);
      outcome.truth[static_cast<std::size_t>(found - model.labels.begin())] = 1;
    }
    outcomes->push_back(std::move(outcome));
  }
  TaskResult result;
  const TaskModel::Rows logits = model.classify(texts, pairs);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    for (const float logit : logits[i]) (*outcomes)[i].predicted.push_back(logit > 0 ? 1 : 0);
    result.outputs.push_back(number_of((*outcomes)[i].predicted));
  }
  using Value = double (*)(const Outcomes&, std::span<const std::size_t>);
  const auto metric = [&](const char* name, Value value) {
    result.metrics.push_back({name, [outcomes, value](std::span<const std::size_t> examples) {
                                return value(*outcomes, examples);
                              }});
  };
  metric("f1_micro", micro_f1);
  metric("f1_macro", macro_f1);
  metric("accuracy", exact);
  result.num_examples = outcomes->size();
  result.file = test.file;
  result.reading = test.reading;
  result.how = "own head, labels with a logit above 0";
  return result;
}

}  // namespace

extern const Task multi_label_task;
const Task multi_label_task = {"multi-label", "multi_label",
                               "any number of labels a text: micro and macro F1", run};

}  // namespace penjing
