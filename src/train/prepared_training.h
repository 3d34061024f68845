#pragma once

#include <functional>
#include <memory>

#include "train/finetune.h"
#include "train/objective.h"

namespace penjing::train {

// What is there when a task's examples are read and the network is loaded, before the first step.
struct TaskStart {
  std::unique_ptr<Objective> objective;
  Network& network;
  const Tokenizer& tokenizer;
  const ObjectiveInput& input;
  const std::function<void(const std::string&)>& tell;
  int num_ranks;
  bool is_rehearsal;  // no numbers are wanted, only how long they take
  Json& origin;       // what decides the numbers: a run is resumed with an equal one only
};

// May put another objective around the task's, and add parameters that are learned beside the model's
// (kAside).
using PrepareTask = std::function<void(TaskStart& start)>;

// The task of the settings: reads its examples and makes the model ready. `input` is set to what it was made
// from.
std::unique_ptr<Objective> make_task(const FinetuneSettings& settings, Model& model,
                                     const Tokenizer& tokenizer, ThreadPool& pool, ObjectiveInput& input);
// For TaskStart::origin: names, and the tokens and targets that are learned.
Json describe_origin(const FinetuneSettings& settings, const Objective& objective);

// Writes a result where the settings say.
using WriteTrained = std::function<void(const TrainedModel& trained, const Model& original)>;

// finetune() and finetune_step() for methods that train on a task and do more: `method` is what the
// provenance names. write: instead of a model folder at `out`.
FinetuneResult train_prepared(const char* method, const FinetuneSettings& settings,
                              const PrepareTask& prepare, const std::function<void(const std::string&)>& tell,
                              const std::function<void(const StepLog&)>& on_step,
                              const WriteTrained& write = {});
TrainedModel train_prepared_step(const Model& original, const FinetuneSettings& settings,
                                 const PrepareTask& prepare, const std::filesystem::path& folder,
                                 const std::function<void(const std::string&)>& tell);

}  // namespace penjing::train
