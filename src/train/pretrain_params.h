#pragma once

#include <string>
#include <vector>

#include "train/loop_params.h"
#include "train/pretrain.h"

namespace penjing::train {

// The parameters of masked-LM pretraining on the command line and in a recipe's step, each declared here
// once.
struct PretrainParams {
  std::vector<std::string> data, eval_data;
  int64_t hold_back = 200, eval_sequences = 1000, max_length = 128, shuffle = 16384, max_predictions = 0;
  bool no_eval = false, cross_documents = false, no_whole_words = false;
  std::string documents = "guess", mix_vocabulary;
  double mask_share = 0.15, mix_share = 0.5;
  LoopParams training = make_training();

  template <class Visitor>
  void visit(Visitor& v) {
    constexpr int64_t kMost = int64_t{1} << 40;
    v.paths(
        "data", data,
        "texts: files and folders of .txt or .jsonl, also .xz or .gz; read as they are needed, so they may "
        "be larger than memory");
    v.paths("eval_data", eval_data, "texts to score on; default: documents held back from the data");
    v.integer("hold_back", hold_back, 2, kMost, "one document in so many is scored on and not trained on");
    v.integer("eval_sequences", eval_sequences, 1, kMost, "sequences to score on, at most");
    v.flag("no_eval", no_eval, "no scoring: train on every document");
    v.choice("documents", documents, {"guess", "line", "blank-line"},
             "where a document ends; guess: at blank lines where the file has them");
    v.integer("max_length", max_length, 1, kMost, "tokens of a sequence: as many whole sentences as fit");
    v.flag("cross_documents", cross_documents, "sequences go on into the next document");
    v.integer("shuffle", shuffle, 1, kMost, "sequences that are held and shuffled together");
    v.number("mask_share", mask_share, 0, 1, "share of the tokens to be guessed");
    v.integer("max_predictions", max_predictions, 0, kMost, "of a sequence, at most; 0: the share alone");
    v.flag("no_whole_words", no_whole_words, "mask pieces of words one by one");
    v.text("mix_vocabulary", mix_vocabulary,
           "a model with a part of this one's vocabulary (trim-vocabulary): words are spelled now in the "
           "one, now in the "
           "other, so that a student with few pieces finds them known (dual training, Zhao et al. 2019)");
    v.number("mix_share", mix_share, 0, 1,
             "of mix_vocabulary: share of the words that are spelled in the smaller one");
    v.integer("steps", training.loop.max_steps, 0, kMost, "how long to train");
    training.visit(v);
  }

  // model, sizes, tokenizer, out, resume and the ranks' are the caller's. kInput, naming the parameter.
  PretrainSettings settings() const;

 private:
  static LoopParams make_training() {
    LoopParams params;
    params.loop.batches.batch_tokens = 8192;
    params.loop.learning_rate = 1e-4;  // BERT's, as are the decay and the 1 % of warm-up
    params.loop.warmup = 0.01;
    return params;
  }
};

}  // namespace penjing::train
