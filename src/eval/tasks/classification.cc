// classification: accuracy and macro F1 of single texts or pairs, by the model's own head or its embeddings.
#include "eval/label_task.h"
#include "eval/metrics.h"

namespace penjing {

namespace {

TaskResult run(const TaskModel& model, const TaskData& data) {
  return label_result(predict_labels(model, data), {{"accuracy", accuracy}, {"f1_macro", macro_f1}});
}

}  // namespace

extern const Task classification_task;
const Task classification_task = {"classification", "labels of texts: accuracy, macro F1", true, run};

}  // namespace penjing
