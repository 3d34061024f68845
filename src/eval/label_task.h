#pragma once

#include <string>
#include <utility>
#include <vector>

#include "eval/evaluation.h"

namespace penjing {

// Labels of texts or pairs as a task: the model's own head when it has one (labels matched by name, else by
// number); else a classifier on its frozen embeddings, learned from the training texts: the 10 nearest in
// cosine, weighted by it, or a linear one (eval/linear_probe.h; of a pair's embeddings u, v it sees |u - v|
// and u * v, as SentEval does).
using LabelMetric = double (*)(std::span<const int> truth, std::span<const int> predicted);
TaskResult run_label_task(const TaskModel& model, const TaskInput& input,
                          const std::vector<std::pair<std::string, LabelMetric>>& metrics);
TaskResult run_label_task(const TaskModel& model, const TaskInput& input, const Dataset& test,
                          const std::function<Dataset()>& read_train,
                          const std::vector<std::pair<std::string, LabelMetric>>& metrics);

}  // namespace penjing
