#include "train/training_folder.h"

#include "base/error.h"
#include "train/checkpoint.h"
#include "train/launch_environment.h"

namespace penjing::train {

namespace {

void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail(ErrorKind::kIo, "{}: {}", folder.string(), error.message());
}

}  // namespace

std::filesystem::path enter_training_folder(const std::filesystem::path& out, bool resume) {
  namespace fs = std::filesystem;
  if (out.empty()) fail(ErrorKind::kInput, "no folder for the result");
  if (fs::exists(out) && !(fs::is_directory(out) && fs::is_empty(out))) {
    fail(ErrorKind::kInput, "{}: is there already", out.string());
  }
  const fs::path folder = out.string() + ".training";
  const bool begun = !find_checkpoints(folder).empty();
  if (begun && !resume) {
    fail(ErrorKind::kInput, "{}: a run was begun here; --resume goes on with it, or remove the folder",
         folder.string());
  }
  make_folder(folder);
  return folder;
}

bool enter_step_folder(const std::filesystem::path& folder) {
  if (read_launch_environment().distributed()) {
    fail(ErrorKind::kUnsupported,
         "a recipe runs in one process; several ranks: penjing finetune or pretrain");
  }
  make_folder(folder);
  return !find_checkpoints(folder).empty();
}

}  // namespace penjing::train
