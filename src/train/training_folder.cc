#include "train/training_folder.h"

#include "base/error.h"
#include "train/checkpoint.h"
#include "train/launch_environment.h"

namespace penjing::train {

namespace fs = std::filesystem;

namespace {

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(ErrorKind::kIo, "{}: {}", folder.string(), error.message());
}

void require_absent(const fs::path& out) {
  if (fs::exists(out) && !(fs::is_directory(out) && fs::is_empty(out))) {
    fail(ErrorKind::kInput, "{}: is there already", out.string());
  }
}

}  // namespace

fs::path training_folder(const fs::path& out) {
  return out.string() + ".training";
}

FolderLock enter_training_folder(const fs::path& out, bool resume) {
  if (out.empty()) fail(ErrorKind::kInput, "no folder for the result");
  require_absent(out);
  const fs::path folder = training_folder(out);
  make_folder(folder);
  FolderLock lock(folder, "trains here; wait for it, or choose another --out");
  require_absent(out);  // that process may have ended in between
  if (!resume && !find_checkpoints(folder).empty()) {
    fail(ErrorKind::kInput, "{}: a run was begun here; --resume goes on with it, or remove the folder",
         folder.string());
  }
  return lock;
}

bool enter_step_folder(const fs::path& folder) {
  if (read_launch_environment().distributed()) {
    fail(ErrorKind::kUnsupported,
         "a recipe runs in one process; several ranks: penjing finetune or pretrain");
  }
  make_folder(folder);
  return !find_checkpoints(folder).empty();
}

}  // namespace penjing::train
