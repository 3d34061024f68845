#pragma once

#include <filesystem>
#include <memory>

#include "cli/recorded_run.h"

namespace penjing::cli {

// The ledger's row of a training run whose folder (OUT.training) is there: that which its run.json names,
// when the run goes on; else a new one, named there.
std::unique_ptr<RecordedRun> record_training(const RunInfo& info,
                                             const std::filesystem::path& training_folder, bool resume);

}  // namespace penjing::cli
