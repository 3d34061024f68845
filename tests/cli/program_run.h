#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace penjing::testing {

// The built program as its users run it: a process of its own.
struct ProgramRun {
  std::vector<std::string> arguments = {};
  std::string input = {};     // its standard input
  std::string output = {};    // a file or device for its standard output; empty: captured
  long file_size_limit = -1;  // bytes a file may grow to (RLIMIT_FSIZE, its signal ignored); -1: no limit
  std::function<bool()> interrupt_when = {};  // sends SIGINT once it holds, or the program has ended
};
struct ProgramResult {
  int status = -1;  // exit status; -1 - N when signal N ended it
  std::string out, err;
};
ProgramResult run_program(const ProgramRun& run);

// A training's checkpoint lies in `folder` or below it.
bool holds_checkpoint(const std::filesystem::path& folder);

}  // namespace penjing::testing
