#pragma once

#include <string>

#include "distill/distill.h"
#include "train/finetune_params.h"

namespace penjing::distill {

// The parameters of distillation on the command line and in a recipe's step, each declared here once.
struct DistillParams {
  std::string teacher, teacher_weights, gating = "none";
  double label_weight = -1;
  Json losses = Json::array();
  std::string answers = "exact";
  double answers_gb = 4;
  int64_t answers_top = 8;
  train::FinetuneParams training;

  template <class Visitor>
  void visit(Visitor& v) {
    v.text(
        "teacher", teacher,
        "a model, or a file with its answers in the order of the examples (.npy, .jsonl); of a recipe's step "
        "by default the model that the recipe starts from; several with commas between");
    v.text("teacher_weights", teacher_weights, "of several teachers, one number each as 2,1; default: equal");
    v.choice("gating", gating, {"none", "confidence", "entropy"},
             "what several teachers count for an example besides: the probability that each gives its label, "
             "or how sure each is");
    visit_losses(v);
    visit_answers(v);
    training.visit(v);
  }

  template <class Visitor>
  void visit_losses(Visitor& v) {
    v.json(
        "losses", losses,
        "what the student learns of the teacher: names (kd,pkd), which then pull alike, or a list of objects "
        "(docs/distillation.md)");
    v.number("label_weight", label_weight, -1, 1e6,
             "of the task's own loss; -1: 0.1, or 0 for texts without labels");
  }

  template <class Visitor>
  void visit_answers(Visitor& v) {
    v.choice(
        "answers", answers, {"exact", "bf16", "top", "none"},
        "how the teacher's answers are kept for other epochs and runs: as they are, rounded, of many classes "
        "the likeliest, not at all");
    v.number("answers_gb", answers_gb, 0, 1e6,
             "GB that they may take in the cache; more: asked at every step");
    v.integer("answers_top", answers_top, 1, 1 << 20, "of answers top: how many classes");
  }

  // training.model, out, resume and the ranks' are the caller's. kInput, naming the parameter.
  DistillSettings settings() const;
};

}  // namespace penjing::distill
