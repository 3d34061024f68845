#pragma once

#include <filesystem>

namespace penjing::train {

// The folder of logs and checkpoints beside a result that is still to come: OUT.training, made where it is
// not there. kInput when `out` is there already (an empty folder is not), or when it has checkpoints and
// `resume` is false; kIo when it cannot be made.
std::filesystem::path enter_training_folder(const std::filesystem::path& out, bool resume);

// The same for a recipe's step, whose folder holds nothing else: true when there is a checkpoint to go on
// from. kUnsupported in a rank of several.
bool enter_step_folder(const std::filesystem::path& folder);

}  // namespace penjing::train
