// mrpc, qqp: paraphrase or not; accuracy and F1 of class 1 (GLUE).
#include "eval/label_task.h"
#include "eval/metrics.h"

namespace penjing {

namespace {

double f1_of_one(std::span<const int> truth, std::span<const int> predicted) {
  return binary_f1(truth, predicted, 1);
}

TaskResult run(const TaskModel& model, const TaskData& data) {
  return label_result(predict_labels(model, data), {{"f1", f1_of_one}, {"accuracy", accuracy}});
}

}  // namespace

extern const Task mrpc_task;
const Task mrpc_task = {"mrpc", "GLUE MRPC, QQP: F1 and accuracy", true, run};

}  // namespace penjing
