#pragma once

#include <string>

#include "distill/byot.h"
#include "train/finetune_params.h"

namespace penjing::distill {

// The parameters of self-distillation on the command line and in a recipe's step, each declared here once.
struct ByotParams {
  std::string exits = "all", exit_input = name_of(ExitInput::kMean);
  ExitLearning learning;
  train::FinetuneParams training;

  template <class Visitor>
  void visit(Visitor& v) {
    v.text("exits", exits, "behind which layers: all, or their numbers with commas between, from 1");
    v.choice(
        "exit_input", exit_input, {name_of(ExitInput::kFirstToken), name_of(ExitInput::kMean)},
        "what an exit reads: the first token, as the papers', or the mean of all, which says more in early "
        "layers");
    v.number("soft_share", learning.soft_share, 0, 1,
             "how much an exit learns of the deepest classifier; the rest of the labels");
    v.number("temperature", learning.temperature, 1e-3, 1e3, "of the deepest classifier's distribution");
    v.number("feature_weight", learning.feature_weight, 0, 1e6,
             "of an exit's distance from the deepest classifier's features");
    training.visit(v);
  }

  // training.model, out, resume and the ranks' are the caller's. kInput, naming the parameter.
  ByotSettings settings() const {
    ByotSettings settings{training.settings(), learning};
    settings.exits.layers = read_exit_layers(exits);
    settings.exits.input =
        exit_input == name_of(ExitInput::kMean) ? ExitInput::kMean : ExitInput::kFirstToken;
    return settings;
  }
};

}  // namespace penjing::distill
