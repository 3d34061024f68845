#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "train/batches.h"
#include "train/schedule.h"

// What a training run is told and what it tells. No LibTorch here: the command line reads this.
namespace penjing::train {

// Constants of all optimizers; each reads those of its formula.
struct OptimizerSettings {
  std::string name = "adamw";
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double momentum = 0;  // sgd
};

// Parameters whose name holds `pattern` (a regular expression, ECMAScript): the last group that matches
// decides.
struct ParameterGroup {
  std::string pattern;
  double rate = 1;           // times the schedule's learning rate
  double weight_decay = -1;  // below 0: the common one
  bool frozen = false;
  bool optional = false;  // may match nothing
};

struct RuleSettings {
  double weight_decay = 0.01;
  // Learning rate of layer i (from 0) of n: rate * decay^(n - i); of embeddings decay^(n + 1), of heads 1
  // (Howard & Ruder 2018; ELECTRA). 1: the same everywhere.
  double layer_decay = 1;
  bool freeze_encoder = false;  // only what is no part of embeddings and layers is trained
  bool only_layers = false;     // embeddings and heads are not trained
  std::vector<ParameterGroup> groups;
};

struct LoopSettings {
  double epochs = 3;
  int64_t max_steps = 0;  // instead of epochs when above 0
  Batches::Settings batches;
  int64_t micro_tokens = 4096;  // tokens a forward holds at most: gradients are accumulated over several
  OptimizerSettings optimizer;
  RuleSettings rules;
  double learning_rate = 2e-5;
  Schedule::Kind schedule = Schedule::Kind::kLinear;
  double warmup = 0.1;   // share of the steps
  double clip_norm = 1;  // of all gradients together; 0: not clipped
  double average =
      0;  // decay of an exponential average of the weights, which is then evaluated and kept; 0: none
  std::string device = "cpu";  // train/device.h; no part of the digest: a run may go on on another one
  std::string precision = "fp32";
  std::string
      loss_scaling;         // train/loss_scaler.h; empty: "pytorch" where the precision needs it, else "none"
  int64_t record_step = 0;  // the step whose numbers are recorded for `penjing numerics --diagnose`; 0: none
  double hidden_dropout = -1, attention_dropout = -1, classifier_dropout = -1;  // below 0: the model's own
  uint64_t seed = 1;
  Json origin = Json::object();  // what else decides the numbers: model, task, data; part of the digest

  int64_t eval_steps = 0;  // 0: after every epoch
  std::string metric;      // decides which weights are best; empty: the task's main one
  int64_t patience = 0;    // evaluations without a better one after which training stops; 0: never
  bool keep_best = false;  // the weights of the best evaluation are the result, else the last ones

  std::filesystem::path folder;  // of checkpoints and logs; empty: neither
  int64_t save_steps = 0;        // 0: by time alone
  double save_minutes = 10;
  int64_t keep = 2;  // checkpoints
  int64_t log_steps = 10;
  std::filesystem::path dump;  // where the first steps are written out (step_dump.h); empty: nowhere
  // Above 0: the run's first so many steps are taken, to see how long they take, and nothing else is done:
  // no evaluation, no checkpoint.
  int64_t rehearsal = 0;
};

struct Evaluated {
  int64_t step = 0;
  double epoch = 0;
  std::vector<std::pair<std::string, double>> scores;
};

struct LoopResult {
  int64_t steps = 0, first_step = 0;  // first_step: where a resumed run went on
  int64_t checkpoint_bytes = 0;       // of a rehearsal: of all that lie there at once, at most
  int64_t tokens = 0;                 // trained on in this process
  double seconds = 0;                 // of training in this process, evaluations not counted
  double loss = 0;                    // mean of the last epoch's steps
  std::vector<Evaluated> evaluations;
  bool stopped_early = false;
};

// One step as the log sees it.
struct StepLog {
  int64_t step = 0, total = 0;
  double epoch = 0, loss = 0, learning_rate = 0, gradient_norm = 0, scale = 1, seconds = 0;
  int64_t tokens = 0;
  std::map<std::string, double> details;  // of this process' examples
};

}  // namespace penjing::train
