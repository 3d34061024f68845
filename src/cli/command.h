#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace penjing::cli {

// Exit codes (docs/cli.md). Errors map to them by kind in main alone.
enum ExitCode { kDone = 0, kInternalError = 1, kUsage = 2, kGoalNotMet = 3, kRefused = 4, kParityFailed = 5,
                kResourceLimit = 6, kInterruptedByUser = 130 };

// Options that every command has.
struct CommonOptions {
  bool json = false, quiet = false;
  int threads = 0;  // 0: all the process may use
};

// One command: src/cli/commands/<verb>.cc exports `const Command <verb>_command`, one line in commands.def.
// declare() adds options to its subcommand, bound to variables that live as long as the program; run() works.
struct Command {
  const char* verb;
  const char* summary;
  const char* examples;  // shown at the end of --help
  void (*declare)(CLI::App& app);
  int (*run)(const CommonOptions& common);
};

}  // namespace penjing::cli
