// tagging: labels of words (named entities, slots); F1, precision and recall of whole spans as seqeval counts
// them, and accuracy of words. A word beyond the model's length counts as "O".
#include <algorithm>
#include <memory>

#include "base/error.h"
#include "data/tagged.h"
#include "eval/evaluation.h"
#include "eval/metrics.h"

namespace penjing {

namespace {

struct Counts {
  double right = 0, predicted = 0, there = 0, right_words = 0, words = 0;
};

Counts count(const std::vector<std::string>& truth, const std::vector<std::string>& predicted) {
  Counts counts;
  const auto wanted = spans_of(truth), found = spans_of(predicted);
  counts.there = static_cast<double>(wanted.size());
  counts.predicted = static_cast<double>(found.size());
  for (const TagSpan& span : found)
    counts.right += std::find(wanted.begin(), wanted.end(), span) == wanted.end() ? 0 : 1;
  counts.words = static_cast<double>(truth.size());
  for (std::size_t i = 0; i < truth.size(); ++i) counts.right_words += truth[i] == predicted[i] ? 1 : 0;
  return counts;
}

using Quotient = double (*)(const Counts& sum);
double quotient(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

TaskResult run(const TaskModel& model, const TaskInput& input) {
  if (!model.tag) fail(ErrorKind::kUnsupported, "the model has no token classification head");
  TaggedData data = read_tagged(find_split(input.data, input.split.empty() ? "test" : input.split));
  if (input.limit > 0 && data.sentences.size() > input.limit) data.sentences.resize(input.limit);
  std::vector<std::vector<std::string>> sentences;
  for (const TaggedSentence& sentence : data.sentences) {
    sentences.push_back(sentence.words);
    for (const std::string& tag : sentence.tags) {
      if (tag != "O" && std::find(model.labels.begin(), model.labels.end(), tag) == model.labels.end())
        fail(ErrorKind::kInput, "{}: line {}: tag \"{}\" is none of the model's", data.file.string(),
             sentence.line, tag);
    }
  }
  const auto logits = model.tag(sentences);
  const auto counts = std::make_shared<std::vector<Counts>>();
  TaskResult result;
  for (std::size_t s = 0; s < sentences.size(); ++s) {
    std::vector<std::string> predicted;
    for (const auto& row : logits[s]) {
      const auto best = std::max_element(row.begin(), row.end()) - row.begin();
      predicted.push_back(row.empty() ? "O" : model.labels.at(static_cast<std::size_t>(best)));
      result.outputs.push_back(row.empty() ? -1.0 : static_cast<double>(best));
    }
    counts->push_back(count(data.sentences[s].tags, predicted));
  }
  const auto metric = [&](const char* name, Quotient value) {
    result.metrics.push_back({name, [counts, value](std::span<const std::size_t> examples) {
                                Counts sum;
                                for (const std::size_t i : examples) {
                                  const Counts& one = (*counts)[i];
                                  sum.right += one.right, sum.predicted += one.predicted;
                                  sum.there += one.there, sum.words += one.words;
                                  sum.right_words += one.right_words;
                                }
                                return value(sum);
                              }});
  };
  metric("overall_f1", [](const Counts& sum) { return quotient(2 * sum.right, sum.predicted + sum.there); });
  metric("overall_precision", [](const Counts& sum) { return quotient(sum.right, sum.predicted); });
  metric("overall_recall", [](const Counts& sum) { return quotient(sum.right, sum.there); });
  metric("overall_accuracy", [](const Counts& sum) { return quotient(sum.right_words, sum.words); });
  result.num_examples = sentences.size();
  result.file = data.file;
  result.reading = data.reading;
  result.how = "own head, the first piece of each word";
  return result;
}

}  // namespace

extern const Task tagging_task;
const Task tagging_task = {"tagging", "ner", "tags of words (CoNLL): F1 of whole spans", run};

}  // namespace penjing
