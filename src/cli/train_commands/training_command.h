#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/recorded_run.h"
#include "train/finetune.h"

namespace penjing::cli {

// What commands that train have in common.

inline constexpr int64_t kRehearsalSteps = 12;  // of --dry-run

// How a run is run, beside what it learns.
struct TrainingOptions {
  std::string out;
  bool resume = false, dry_run = false;
  double timeout = 300, bucket_megabytes = 25;

  // Into the settings of a run.
  template <typename Settings>
  void put_into(Settings& settings, const CommonOptions& common) const {
    settings.out = out;
    settings.resume = resume;
    settings.timeout = timeout;
    settings.bucket_bytes = static_cast<int64_t>(bucket_megabytes * (1 << 20));
    settings.threads = common.threads;
    if (dry_run) settings.loop.rehearsal = kRehearsalSteps;
  }
};
void declare_training_options(CLI::App& app, TrainingOptions& options);

using Tell = std::function<void(const std::string&)>;
using OnStep = std::function<void(const train::StepLog&)>;
// Calls `work` with what tells the user (the run is recorded from its first words on: model and data are read
// by then) and with what it calls after each step; records the last scores, and why it failed. True.
// --dry-run: calls it for the first steps and prints how long all would take and what disk they need; false
// then.
bool run_training(const TrainingOptions& options, const CommonOptions& common,
                  const std::function<RunInfo()>& info, const std::string& eval_split,
                  const std::function<train::LoopResult(const Tell&, const OnStep&)>& work);

// "out", "steps", "first_step", "seconds", "tokens", "tokens_per_second", "loss", "evaluations".
Json training_json(const TrainingOptions& options, const train::LoopResult& result);
std::string evaluations_table(const train::LoopResult& result);  // empty: there were none
std::string training_summary(const TrainingOptions& options, const train::LoopResult& result);  // a line
// run_training() of a task; what it gave is printed, as JSON or for people, by the first of several ranks.
int train_and_print(const TrainingOptions& options, const CommonOptions& common,
                    const std::function<RunInfo()>& info, const std::string& eval_split,
                    const std::function<train::FinetuneResult(const Tell&, const OnStep&)>& work);

}  // namespace penjing::cli
