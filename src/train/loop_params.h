#pragma once

#include <string>
#include <vector>

#include "train/loop_settings.h"

namespace penjing::train {

// What every training command and recipe step may be told of the loop, each parameter declared once; visited
// as compress/params.h says.
struct LoopParams {
  LoopSettings loop;
  std::string schedule = "linear";
  std::vector<std::string> groups;
  int64_t seed = 1;

  template <class Visitor>
  void visit(Visitor& v) {
    visit_optimization(v);
    visit_regularisation(v);
    visit_numbers(v);
    visit_scoring(v);
    visit_checkpoints(v);
  }

  LoopSettings settings() const;  // kInput, naming the parameter

 private:
  static constexpr int64_t kMost = int64_t{1} << 40;
  static const std::vector<std::string>& optimizer_names();
  static const std::vector<std::string>& precision_names();

  template <class Visitor>
  void visit_optimization(Visitor& v) {
    v.integer("batch_tokens", loop.batches.batch_tokens, 0, kMost,
              "tokens a step, as many examples as have so many; 0: count examples");
    v.integer("micro_tokens", loop.micro_tokens, 1, kMost,
              "tokens in memory at once; a step's gradients are summed over several");
    v.choice("optimizer", loop.optimizer.name, optimizer_names(), "what takes the steps");
    v.number("learning_rate", loop.learning_rate, 0, 1e6, "at its peak");
    v.choice("schedule", schedule, {"linear", "cosine", "constant"}, "how the learning rate falls");
    v.number("warmup", loop.warmup, 0, 1, "share of the steps in which the rate rises");
    v.number("momentum", loop.optimizer.momentum, 0, 1, "of sgd");
    v.number("layer_decay", loop.rules.layer_decay, 0, 1,
             "learning rate falls by this factor a layer from the top");
    v.list("group", groups,
           "PATTERN:rate=0.1,decay=0,frozen: own settings of the parameters that the pattern matches");
    v.flag("freeze_encoder", loop.rules.freeze_encoder, "train the head only");
    v.number("clip", loop.clip_norm, 0, 1e30, "norm of all gradients at most; 0: none");
  }
  template <class Visitor>
  void visit_regularisation(Visitor& v) {
    v.number("weight_decay", loop.rules.weight_decay, 0, 1e6, "not of biases and norms");
    v.number("average", loop.average, 0, 1,
             "keep an exponential average of the weights with this decay (0.999); 0: none");
    v.number("dropout", loop.hidden_dropout, -1, 1, "-1: the model's own");
    v.number("attention_dropout", loop.attention_dropout, -1, 1, "-1: the model's own");
    v.number("classifier_dropout", loop.classifier_dropout, -1, 1, "-1: the model's own");
  }
  template <class Visitor>
  void visit_numbers(Visitor& v) {
    v.text("device", loop.device,
           "cpu, cuda or cuda:N: where the network is trained (docs/training.md, \"On a GPU\")");
    v.choice("precision", loop.precision, precision_names(), "docs/mixed-precision.md");
    v.text("loss_scaling", loop.loss_scaling,
           "none, pytorch, deepspeed, or a fixed scale; default: pytorch where the precision needs it");
    v.integer("record_step", loop.record_step, 0, kMost,
              "record this step for `penjing numerics --diagnose OUT.training`; 0: none");
    v.integer("seed", seed, 0, kMost, "of order, dropout and fresh weights");
  }
  template <class Visitor>
  void visit_scoring(Visitor& v) {
    v.integer("eval_steps", loop.eval_steps, 0, kMost,
              "score every so many steps; 0: every epoch, or at the end");
    v.text("metric", loop.metric, "which score decides; default: the task's first");
    v.flag("keep_best", loop.keep_best, "the result is the best-scored state, not the last");
    v.integer("patience", loop.patience, 0, kMost,
              "stop after so many scorings without a better one; 0: never");
  }
  template <class Visitor>
  void visit_checkpoints(Visitor& v) {
    v.integer("save_steps", loop.save_steps, 0, kMost, "checkpoint every so many steps; 0: by time alone");
    v.number("save_minutes", loop.save_minutes, 0, 1e9, "checkpoint every so many minutes");
    v.integer("keep", loop.keep, 1, kMost, "checkpoints kept");
  }
};

}  // namespace penjing::train
