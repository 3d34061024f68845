#include <iterator>

#include "cli/program.h"

namespace penjing::cli {

#define PENJING_TRAIN_COMMAND(name, verb, summary) extern const Command name##_command;
#include "cli/train_commands.def"
#undef PENJING_TRAIN_COMMAND

namespace {

constexpr const Command* kTrainCommands[] = {
#define PENJING_TRAIN_COMMAND(name, verb, summary) &name##_command,
#include "cli/train_commands.def"
#undef PENJING_TRAIN_COMMAND
};

}  // namespace

}  // namespace penjing::cli

int main(int argc, char** argv) {
  return penjing::cli::run_program(argc, argv, penjing::cli::kTrainCommands);
}
