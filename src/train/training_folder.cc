#include "train/training_folder.h"

#include "base/error.h"
#include "train/checkpoint.h"

namespace penjing::train {

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
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(ErrorKind::kIo, "{}: {}", folder.string(), error.message());
  return folder;
}

}  // namespace penjing::train
