#pragma once

#include <filesystem>
#include <vector>

#include "cli/train_commands/training_command.h"
#include "train/finetune.h"
#include "train/pretrain.h"

namespace penjing::cli {

// The ledger's facts of a run; settings without the seed, so that runs of several seeds are one group.
RunInfo run_info(const char* kind, const train::FinetuneSettings& settings);
RunInfo run_info(const train::PretrainSettings& settings, const std::string& size);

}  // namespace penjing::cli
