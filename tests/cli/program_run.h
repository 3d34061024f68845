#pragma once

#include <string>
#include <vector>

namespace penjing::testing {

// The built program as its users run it: a process of its own.
struct ProgramRun {
  std::vector<std::string> arguments = {};
  std::string input = {};       // its standard input
  std::string output = {};      // a file or device for its standard output; empty: captured
  long file_size_limit = -1;    // bytes a file may grow to (RLIMIT_FSIZE, its signal ignored); -1: no limit
  int interrupt_after_ms = -1;  // sends SIGINT after so long
};
struct ProgramResult {
  int status = -1;  // exit status; -1 - N when signal N ended it
  std::string out, err;
};
ProgramResult run_program(const ProgramRun& run);

}  // namespace penjing::testing
