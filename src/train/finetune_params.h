#pragma once

#include <string>
#include <vector>

#include "train/finetune.h"
#include "train/loop_params.h"

namespace penjing::train {

// The parameters of fine-tuning on the command line and in a recipe's step, each declared here once.
struct FinetuneParams {
  std::string task, data, train_split = "train", eval_split = "dev";
  bool no_eval = false;
  std::string text_column, pair_column, label_column;
  int64_t limit = 0, max_length = -1;
  double label_smoothing = 0;
  std::string class_weights, loss;
  std::vector<std::string> params;
  std::string scheme, activation_range = "token";
  bool learned_weight_scales = false;
  LoopParams training;
  static constexpr int64_t kMost = int64_t{1} << 40;

  template <class Visitor>
  void visit(Visitor& v) {
    v.text("task", task, "what is learned: a task's name (docs/training.md)");
    v.path("data", data, "a folder with train and dev (.tsv, .csv, .jsonl, .json), or a file");
    visit_examples(v);
    visit_loop(v);
    v.text("quantize_aware", scheme,
           "train for this scheme of `penjing quantize` (w8a8, w7a8, w7a7, ...); the result is so quantized");
    v.choice("activation_range", activation_range, {"token", "average", "learned"},
             "of quantize_aware: each token's own, a moving average, learned");
    v.flag("learned_weight_scales", learned_weight_scales, "of quantize_aware: LSQ (Esser et al. 2020)");
  }

  // How a task's examples are read and learned.
  template <class Visitor>
  void visit_examples(Visitor& v) {
    v.text("train_split", train_split, "which of the folder is learned");
    v.text("eval_split", eval_split, "which is scored after every epoch");
    v.flag("no_eval", no_eval, "no scoring: all data are in one file");
    v.text("text_column", text_column, "instead of the guess");
    v.text("pair_column", pair_column, "the second text of a pair");
    v.text("label_column", label_column, "label or score");
    v.integer("limit", limit, 0, kMost, "the first so many training examples only; 0: all");
    v.integer("max_length", max_length, -1, kMost,
              "tokens a text; -1: 128, of qa 384; 0: what the model can take");
    v.number("label_smoothing", label_smoothing, 0, 1, "share of the truth given to all classes alike");
    v.text("class_weights", class_weights, "balanced, or one number a class: 1,2.5");
    v.text("loss", loss, "regression: mse, bce (scores from 0 to 1); of embeddings: docs/training.md");
    v.list("param", params, "NAME=VALUE: a setting of the task's own (docs/training.md)");
  }

  template <class Visitor>
  void visit_loop(Visitor& v) {
    v.number("epochs", training.loop.epochs, 0, 1e9, "times through the data; may be a fraction");
    v.integer("max_steps", training.loop.max_steps, 0, kMost, "steps, instead of epochs; 0: by epochs");
    v.integer("batch_size", training.loop.batches.batch_size, 1, kMost, "examples a step");
    training.visit(v);
  }

  // model, out, resume and the ranks' are the caller's. kInput, naming the parameter.
  FinetuneSettings settings() const;
};

}  // namespace penjing::train
