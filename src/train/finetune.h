#pragma once

#include <functional>
#include <optional>

#include "base/json.h"
#include "eval/evaluation.h"
#include "train/fake_quant_settings.h"
#include "train/loop_settings.h"
#include "train/trained_model.h"

// Fine-tuning as the command line and recipes ask for it. No LibTorch here.
namespace penjing::train {

struct FinetuneSettings {
  std::string model;                                      // MODEL of the command line
  std::string task;                                       // an objective's name or alias
  TaskInput data;                                         // its own `split` and `train` are not read
  std::string train_split = "train", eval_split = "dev";  // eval_split empty: no evaluation
  int64_t max_length = -1;                                // -1: the objective's, 0: the model's
  Json params = Json::object();  // the objective's own: label_smoothing, class_weights, loss, ...
  std::filesystem::path
      out;  // a model folder that appears when all is done; logs and checkpoints: out + ".training"
  // Quantization-aware training: the result is what `penjing quantize` would write, trained for it. kInput
  // with several ranks unless ranges are those of each token.
  std::optional<FakeQuantSettings> fake_quant;
  LoopSettings loop;  // folder is set from `out`
  int threads = 0;    // 0: all that the process may use, its share where ranks of one machine share them
  // Of a run of several ranks (launch_environment.h): seconds that a rank may be late, and bytes of gradients
  // sent together.
  double timeout = 300;
  int64_t bucket_bytes = int64_t{25} << 20;
  bool resume = false;
};

struct FinetuneResult {
  LoopResult loop;
  std::filesystem::path training_folder;
  int rank = 0;  // of this process: the first alone writes and reports
};

// A recipe's step: trains `original` in one process. `folder` holds logs and checkpoints; a run that was
// begun there goes on. settings.model, out, resume and the ranks' are not read. kUnsupported in a rank of
// several.
TrainedModel finetune_step(const Model& original, const FinetuneSettings& settings,
                           const std::filesystem::path& folder,
                           const std::function<void(const std::string&)>& tell);

// One process, or one rank of several as the environment says. tell: lines for the user before training
// (data, lengths, parameters). kInput when `out` exists, or when a run of the same name was begun and
// `resume` is false.
FinetuneResult finetune(const FinetuneSettings& settings, const std::function<void(const std::string&)>& tell,
                        const std::function<void(const StepLog&)>& on_step = {});

// kInput or kUnsupported where the settings' device is not there, or cannot do what they ask for. The
// functions above begin with it.
void check_device(const FinetuneSettings& settings);

// "classification (pair-classification sst2 ...)", for messages and help; true when there is such a task.
std::string objective_names();
bool is_objective(const std::string& name);

}  // namespace penjing::train
