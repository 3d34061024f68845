#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cpu.h"

namespace penjing::cli {

// What `doctor` tells of the machine and of the choices made on it. Nothing here runs a model.

// Why a kernel of a family that would be better than the chosen one is not used.
enum class Refusal {
  kNotOnThisCpu,  // written, but the CPU or the operating system lacks the instructions
  kForbidden,     // written and runnable, but PENJING_ISA stops below it
  kNotWritten,    // this family has no kernel for the instruction set in this build
};
const char* to_string(Refusal refusal);

struct KernelChoice {
  std::string family;  // folder of src/kernels
  Isa uses = Isa::kRef;
  struct Refused {
    Isa isa;
    Refusal why;
  };
  std::vector<Refused> refused;  // better instruction sets, best first
};
std::vector<KernelChoice> list_kernel_choices();

struct ThreadFacts {
  int online = 0;     // CPUs that the machine has switched on
  int affinity = 0;   // of those, the ones this process may run on
  int fast = 0;       // of those, the ones of the fast kind (base/fast_cpus.h): all, where there is one kind
  int available = 0;  // after the cgroup's quota: threads used unless --threads says otherwise
};
ThreadFacts read_thread_facts();

struct MemoryFacts {
  int64_t total = 0, available = 0;
  int64_t limit = -1;                  // of the cgroup; -1: none
  std::string transparent_huge_pages;  // "always", "madvise", "never"; empty: not known
  int64_t huge_pages = 0, huge_page_bytes = 0;
};
MemoryFacts read_memory_facts();

struct CachedModel {
  std::string name, family, precision;  // model_type of config.json; quantized format, or empty
  std::uintmax_t weight_bytes = 0;
  std::string problem;  // empty: its config and weights are there
};
// Folders of <cache>/models by name; empty when there is no such folder. Weights are not read.
std::vector<CachedModel> list_cached_models();

}  // namespace penjing::cli
