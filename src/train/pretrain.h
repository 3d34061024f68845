#pragma once

#include <functional>

#include "model/new_model.h"
#include "train/loop_settings.h"
#include "train/trained_model.h"

// Masked-LM pretraining as the command line asks for it: of a fresh model, or of one that goes on to learn
// from texts of a domain. No LibTorch here.
namespace penjing::train {

struct PretrainSettings {
  std::string model;                // to start from; empty: a fresh one of `sizes`
  BertSizes sizes;                  // its vocabulary is the tokenizer's
  Json config;                      // of a fresh model of any family, instead of sizes; null: by them
  std::filesystem::path tokenizer;  // folder with the tokenizer; of a fresh model only
  std::vector<std::filesystem::path> data, eval_data;  // files and folders
  int64_t max_length = 128;
  Json params = Json::object();  // of the objective masked-lm: mask_share, hold_back, ...
  bool evaluate = true;          // without eval_data: hold documents back for it
  std::filesystem::path out;  // a model folder that appears when all is done; checkpoints: out + ".training"
  LoopSettings loop;          // folder is set from `out`
  int threads = 0;  // 0: all that the process may use, its share where ranks of one machine share them
  // Of a run of several ranks (launch_environment.h): seconds that a rank may be late, and bytes of gradients
  // sent together.
  double timeout = 300;
  int64_t bucket_bytes = int64_t{25} << 20;
  bool resume = false;
};

// The mean loss of a stretch of steps.
struct LossPoint {
  int64_t step = 0;  // its last
  double loss = 0, tokens_per_second = 0;
};

struct PretrainResult {
  LoopResult loop;
  std::vector<LossPoint> curve;  // some twenty points, of the steps of this process
  int64_t num_parameters = 0;
  std::filesystem::path training_folder;
  int rank = 0;  // of this process: the first alone writes and reports
};

// A recipe's step, as finetune_step() of finetune.h: goes on from `original`.
TrainedModel pretrain_step(const Model& original, const PretrainSettings& settings,
                           const std::filesystem::path& folder,
                           const std::function<void(const std::string&)>& tell);

// One process, or one rank of several as the environment says: every rank reads and tokenizes all texts and
// learns from its share of each step's sequences, so that the result is that of one process. tell: lines for
// the user: what is read, the model, and after the first steps how long it will take. kInput when `out`
// exists, or when a run of the same name was begun and `resume` is false.
PretrainResult pretrain(const PretrainSettings& settings, const std::function<void(const std::string&)>& tell,
                        const std::function<void(const StepLog&)>& on_step = {});

}  // namespace penjing::train
