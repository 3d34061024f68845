// classification: accuracy and macro F1 of single texts or pairs.
#include "eval/label_task.h"
#include "eval/metrics.h"

namespace penjing {

namespace {

TaskResult run(const TaskModel& model, const TaskInput& input) {
  return run_label_task(model, input, {{"accuracy", accuracy}, {"f1_macro", macro_f1}});
}

}  // namespace

extern const Task classification_task;
const Task classification_task = {"classification", "sst2 rte qnli wnli mnli",
                                  "labels of texts or pairs: accuracy, macro F1", run};

}  // namespace penjing
