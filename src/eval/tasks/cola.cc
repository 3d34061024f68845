// cola: grammatical or not; Matthews correlation (GLUE).
#include "eval/label_task.h"
#include "eval/metrics.h"

namespace penjing {

namespace {

TaskResult run(const TaskModel& model, const TaskInput& input) {
  return run_label_task(model, input, {{"matthews_correlation", matthews}, {"accuracy", accuracy}});
}

}  // namespace

extern const Task cola_task;
const Task cola_task = {"cola", "", "GLUE CoLA: Matthews correlation", run};

}  // namespace penjing
