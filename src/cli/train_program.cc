#include "cli/train_program.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"

namespace penjing::cli {

namespace {

constexpr TrainVerb kVerbs[] = {
#define PENJING_TRAIN_COMMAND(name, verb, summary) {verb, summary},
#include "cli/train_commands.def"
#undef PENJING_TRAIN_COMMAND
};

std::filesystem::path trainer_path() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::filesystem::path("penjing-train") : self.parent_path() / "penjing-train";
}

}  // namespace

std::span<const TrainVerb> train_verbs() {
  return kVerbs;
}

bool has_trainer() {
  std::error_code error;
  return std::filesystem::is_regular_file(trainer_path(), error);
}

void run_trainer(char** argv) {
  const std::filesystem::path path = trainer_path();
  if (!has_trainer()) {
    fail(ErrorKind::kUnsupported,
         "{} trains, which needs {}: build Penjing with -DPENJING_TRAIN=ON and LibTorch (Debian: "
         "libtorch-dev)",
         argv[1], path.string());
  }
  execv(path.c_str(), argv);
  fail(ErrorKind::kIo, "cannot start {}: {}", path.string(), std::strerror(errno));
}

}  // namespace penjing::cli
