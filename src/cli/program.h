#pragma once

#include <span>

#include "cli/command.h"

namespace penjing::cli {

// The whole program: parses arguments, runs one command, maps errors to exit codes. `training`: the commands
// of train_commands.def; empty in penjing itself, which hands them to penjing-train.
int run_program(int argc, char** argv, std::span<const Command* const> training = {});

}  // namespace penjing::cli
