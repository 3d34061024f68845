#pragma once

#include <string>

#include "distill/mutual.h"
#include "train/finetune_params.h"

namespace penjing::distill {

// The parameters of mutual learning on the command line and in a recipe's step, each declared here once.
struct MutualParams {
  int64_t peers = 2;
  std::vector<std::string> with;
  double weight = 1, temperature = 1;
  train::FinetuneParams training;

  template <class Visitor>
  void visit(Visitor& v) {
    v.integer("peers", peers, 2, 64, "students in all, each with a fresh head and dropout of its own");
    v.list("with", with, "these models beside the first instead, with the same tokenizer");
    v.number("mutual_weight", weight, 0, 1e6, "of what the others say, against 1 of the labels");
    v.number("temperature", temperature, 1e-3, 1e3, "of the distributions that are compared");
    training.visit(v);
  }

  // training.model, out, resume and the ranks' are the caller's. kInput, naming the parameter.
  MutualSettings settings() const;
};

}  // namespace penjing::distill
