#pragma once

#include <string>

#include "distill/theseus.h"
#include "train/finetune_params.h"

namespace penjing::distill {

// The parameters of module replacing on the command line and in a recipe's step, each declared here once.
struct TheseusParams {
  std::string teacher, groups, replacing = "linear";
  Replacing schedule;
  train::FinetuneParams training;

  template <class Visitor>
  void visit(Visitor& v) {
    v.text(
        "teacher", teacher,
        "a model with the student's embeddings and heads; of a recipe's step by default the model that the "
        "recipe starts from");
    v.text("groups", groups,
           "how many of the teacher's layers each of the student's stands for, as 2,2,4; default: equally "
           "many");
    v.choice("replacing", replacing, {"linear", "constant"},
             "how the probability of replacing goes: up to 1, or stays and is 1 at the end");
    v.number("replacing_rate", schedule.rate, 0, 1, "that probability; of linear at the first step");
    v.number("replacing_share", schedule.share, 0, 1, "share of the steps after which all are replaced");
    v.number("replacing_slope", schedule.slope, 0, 1,
             "of linear, what the probability gains a step (the paper's k), instead of the share");
    training.visit(v);
  }

  // training.model, out, resume and the ranks' are the caller's. kInput, naming the parameter.
  TheseusSettings settings() const;
};

}  // namespace penjing::distill
