#pragma once

#include <string>
#include <vector>

#include "distill/distill_params.h"
#include "distill/multitask.h"

namespace penjing::distill {

// What may be said of each task.
struct TaskParams {
  DistillParams distill;

  template <class Visitor>
  void visit(Visitor& v) {
    distill.visit_losses(v);
    distill.training.visit_examples(v);
  }
};

// The parameters of learning several tasks on the command line and in a recipe's step, each declared here
// once.
struct MultitaskParams {
  std::string tasks, names, teacher;
  std::vector<std::string> data;
  double size_exponent = 1;
  TaskParams common;
  Json of_task = Json::object();

  template <class Visitor>
  void visit(Visitor& v) {
    v.text("tasks", tasks, "what is learned: tasks' names with commas between (docs/training.md)");
    v.paths("data", data, "of each task in the same order, as of penjing finetune");
    v.text("names", names, "what the tasks are called, with commas between; else as what is learned");
    v.text("teacher", teacher,
           "of each task a model or a file with its answers, with commas between; none: the labels alone");
    v.number("size_exponent", size_exponent, 0, 4,
             "tasks take part in proportion to the number of their examples to this power");
    common.visit(v);
    v.json("of_task", of_task,
           "what is otherwise for a task, by its name: {\"mrpc\": {\"label_weight\": 0.5, \"limit\": 1000}}");
    common.distill.visit_answers(v);
    common.distill.training.visit_loop(v);
  }

  // training.model, out, resume and the ranks' are the caller's. kInput, naming the parameter.
  MultitaskSettings settings() const;
};

}  // namespace penjing::distill
