#ifdef PENJING_TCMALLOC
#include <gperftools/malloc_extension.h>
#else
#include <malloc.h>
#endif
#include <unistd.h>

#include <cstdlib>
#include <iterator>

#include "cli/program.h"
#include "compress/method.h"
#include "distill/methods.h"
#include "train/methods.h"

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

// LibTorch's threads (libgomp) spin for a while between two pieces of work, which costs more than it gains
// where other programs want the CPUs; libgomp reads the environment before main(), hence a second start.
void let_threads_sleep(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  setenv("GOMP_SPINCOUNT", "20000", 1);  // some 20 microseconds
  execv("/proc/self/exe", argv);         // on failure: goes on with threads that spin
}

// Tensors of a step have the sizes of the step before: memory that is given back to the system comes back
// page by page, zeroed, which costs a tenth of a step. But not all have: each batch has another number of
// tokens, and the C library's allocator, which looks for a piece of a megabyte or more in one sorted list,
// spends 6 % of the time on that after some hundred steps. tcmalloc does not.
void keep_memory() {
#ifdef PENJING_TCMALLOC
  MallocExtension::instance()->SetMemoryReleaseRate(0);
#else
  mallopt(M_MMAP_MAX, 0);  // a threshold would stop at 32 MiB: gradients of embedding tables are larger
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
}

}  // namespace

}  // namespace penjing::cli

int main(int argc, char** argv) {
  penjing::cli::let_threads_sleep(argv);
  penjing::cli::keep_memory();
  penjing::add_methods(penjing::train::training_methods());
  penjing::add_methods(penjing::distill::distillation_methods());
  return penjing::cli::run_program(argc, argv, penjing::cli::kTrainCommands);
}
