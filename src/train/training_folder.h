#pragma once

#include <filesystem>

#include "base/folder_lock.h"

namespace penjing::train {

// The folder of logs and checkpoints beside a result that is still to come: OUT.training, made where it is
// not there. It is this process' own as long as the lock is held: until the result is written. kInput when
// another process trains there, when `out` is there already (an empty folder is not), or when the folder has
// checkpoints and `resume` is false; kIo when it cannot be made.
FolderLock enter_training_folder(const std::filesystem::path& out, bool resume);
std::filesystem::path training_folder(const std::filesystem::path& out);

// The same for a recipe's step, whose folder holds nothing else: true when there is a checkpoint to go on
// from. kUnsupported in a rank of several.
bool enter_step_folder(const std::filesystem::path& folder);

}  // namespace penjing::train
