#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "train/ranks.h"

namespace penjing::train {

// What a run that writes OUT is given.
struct TrainingRun {
  int threads = 0;
  Communicator* communicator = nullptr;          // null: one process
  std::filesystem::path folder;                  // OUT.training; empty: nothing is written
  std::function<void(const std::string&)> tell;  // heard of the first rank alone
};

// Calls `work` in one process, or as one rank of several as the environment says (run_rank); the folder is
// entered before and locked until `work` has returned. An empty `out`: without a folder. Returns this
// process' rank.
int run_in_training_folder(const RankSettings& ranks, const std::filesystem::path& out, bool resume,
                           const std::function<void(const std::string&)>& tell,
                           const std::function<void(const TrainingRun& run)>& work);

}  // namespace penjing::train
