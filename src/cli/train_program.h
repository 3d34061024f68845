#pragma once

#include <span>

#include "cli/command.h"

namespace penjing::cli {

// The commands that need LibTorch live in the program penjing-train, which lies beside penjing: a program
// that runs models must not load LibTorch when it starts.
struct TrainVerb {
  const char* verb;
  const char* summary;
};
std::span<const TrainVerb> train_verbs();

// Replaces this process by penjing-train with the same arguments; throws kUnsupported when it is not
// installed.
[[noreturn]] void run_trainer(char** argv);

// True when penjing-train lies beside this program.
bool has_trainer();

}  // namespace penjing::cli
