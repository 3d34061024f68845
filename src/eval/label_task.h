#pragma once

#include "eval/evaluation.h"

namespace penjing {

// Truth and prediction of every test example as class numbers. By the model's own head when it has one
// (labels matched by name, else by number); else by the 10 nearest training texts in cosine of embeddings,
// weighted by it.
struct LabelledPredictions {
  std::vector<int> truth, predicted;
  std::vector<std::string> classes;
  std::string how;
};
LabelledPredictions predict_labels(const TaskModel& model, const TaskData& data);

// A result from them: `metrics` gets truth and prediction of the examples that count.
using LabelMetric = double (*)(std::span<const int> truth, std::span<const int> predicted);
TaskResult label_result(LabelledPredictions predictions,
                        std::vector<std::pair<std::string, LabelMetric>> metrics);

}  // namespace penjing
