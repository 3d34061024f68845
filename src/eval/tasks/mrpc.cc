// mrpc, qqp: paraphrase or not; accuracy and F1 of class 1 (GLUE).
#include "eval/label_task.h"
#include "eval/metrics.h"

namespace penjing {

namespace {

double f1_of_one(std::span<const int> truth, std::span<const int> predicted) {
  return binary_f1(truth, predicted, 1);
}

TaskResult run(const TaskModel& model, const TaskInput& input) {
  return run_label_task(model, input, {{"f1", f1_of_one}, {"accuracy", accuracy}});
}

}  // namespace

extern const Task mrpc_task;
const Task mrpc_task = {"mrpc", "qqp", "GLUE MRPC, QQP: F1 and accuracy", run};

}  // namespace penjing
