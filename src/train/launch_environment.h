#pragma once

#include <functional>
#include <string>

// How a launcher tells a process which of several ranks it is. No LibTorch here: the command line reads this.
namespace penjing::train {

struct LaunchEnvironment {
  int rank = 0, size = 1;
  int local_rank = 0, local_size = 1;  // among those of this machine
  int cpus_per_rank = 0;               // that the launcher has set aside for this rank; 0: not told
  std::string address;                 // of the machine of rank 0
  int port = 0;                        // where rank 0 is met
  bool distributed() const { return size > 1; }
};

// From RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT (torchrun, Kubernetes'
// PyTorchJob); where there is neither RANK nor WORLD_SIZE, from those that Slurm's srun sets a task. Without
// any: one process. kInput names the variable that is malformed or missing. variable: getenv, or a test's.
LaunchEnvironment read_launch_environment(const std::function<const char*(const char*)>& variable);
LaunchEnvironment read_launch_environment();

// Restricts the process to its share of the CPUs where the ranks of this machine share them, and tells how
// many threads fit. To be called before any thread is started.
int take_cpu_share(const LaunchEnvironment& launch);

}  // namespace penjing::train
