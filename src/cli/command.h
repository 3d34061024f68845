#pragma once

#include <string>

#include "base/json.h"

namespace CLI {
class App;
}

namespace penjing::cli {

// Exit codes (docs/cli.md). Errors map to them by kind in program.cc alone.
enum ExitCode {
  kDone = 0,
  kInternalError = 1,
  kUsage = 2,
  kGoalNotMet = 3,
  kRefused = 4,
  kParityFailed = 5,
  kResourceLimit = 6,
  kInterruptedByUser = 130
};

// Options that every command has.
struct CommonOptions {
  bool json = false, quiet = false;
  int threads = 0;  // 0: all that the process may use
};

// One command: src/cli/commands/<name>.cc exports `const Command <name>_command`, one line in commands.def.
// declare() binds options to variables that live as long as the program; run() does the work and returns an
// ExitCode.
struct Command {
  const char* verb;
  const char* summary;
  const char* examples;  // shown at the end of --help
  void (*declare)(CLI::App& app);
  int (*run)(const CommonOptions& common);
};

// Prints to standard output.
void print_text(const std::string& text);
void print_json(const Json& json);

}  // namespace penjing::cli
