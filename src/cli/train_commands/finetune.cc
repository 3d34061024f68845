// finetune: trains a model for a task on labelled data.
#include <CLI/CLI.hpp>

#include "base/error.h"
#include "cli/command.h"

namespace penjing::cli {

namespace {

void declare(CLI::App& app) {
  (void)app;
}
int run(const CommonOptions& common) {
  (void)common;
  fail(ErrorKind::kUnsupported, "finetune is not there yet");
}

}  // namespace

extern const Command finetune_command;
const Command finetune_command = {"finetune", "train a model for a task on labelled data", "", declare, run};

}  // namespace penjing::cli
