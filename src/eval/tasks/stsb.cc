// stsb: does the cosine of two sentences' embeddings (or the model's own score of the pair) rank pairs as
// people do? Pearson and Spearman correlation (GLUE STS-B; MTEB's cosine_spearman).
#include <memory>

#include "base/error.h"
#include "eval/agreement.h"
#include "eval/evaluation.h"

namespace penjing {

namespace {

using Correlation = double (*)(std::span<const double>, std::span<const double>);

TaskResult run(const TaskModel& model, const TaskInput& input) {
  const Dataset test = read_test(input);
  if (!test.pairs) fail(ErrorKind::kInput, "{}: wanted pairs of texts", test.file.string());
  std::vector<std::string> first, second;
  auto human = std::make_shared<std::vector<double>>();
  auto scores = std::make_shared<std::vector<double>>();
  for (const Example& example : test.examples) {
    first.push_back(example.text);
    second.push_back(example.pair);
    human->push_back(score_of(test, example));
  }
  TaskResult result;
  result.file = test.file;
  result.reading = test.reading;
  result.kind = TaskResult::Outputs::kScores;
  if (model.classify && model.labels.size() <= 1) {
    for (const auto& logits : model.classify(first, second)) scores->push_back(logits.at(0));
    result.how = "the model's own score of a pair";
  } else if (model.embed) {
    const auto a = model.embed(first), b = model.embed(second);
    for (std::size_t i = 0; i < a.size(); ++i) scores->push_back(cosine(a[i], b[i]));
    result.how = "cosine of embeddings";
  } else {
    fail(ErrorKind::kUnsupported, "the model has neither a pooling nor a score of pairs");
  }
  result.num_examples = scores->size();
  result.outputs = *scores;
  for (const auto& [name, function] :
       {std::pair<const char*, Correlation>{"spearmanr", spearman}, {"pearson", pearson}}) {
    const Correlation correlation = function;
    result.metrics.push_back({name, [human, scores, correlation](std::span<const std::size_t> examples) {
                                std::vector<double> x, y;
                                for (const std::size_t i : examples) {
                                  x.push_back((*scores)[i]);
                                  y.push_back((*human)[i]);
                                }
                                return correlation(x, y);
                              }});
  }
  return result;
}

}  // namespace

extern const Task stsb_task;
const Task stsb_task = {"stsb", "pairs", "pairs with a score of likeness: Spearman, Pearson", run};

}  // namespace penjing
