#pragma once

namespace penjing::cli {

// The whole program: parses arguments, runs one command, maps errors to exit codes.
int run_program(int argc, char** argv);

}  // namespace penjing::cli
