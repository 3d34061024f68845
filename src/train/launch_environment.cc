#include "train/launch_environment.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"

namespace penjing::train {

namespace {

using Variable = std::function<const char*(const char*)>;

constexpr int kDefaultPort = 29500;  // c10d's
constexpr int kMostRanks = 1 << 20;
constexpr int kMostPort = 65535;

std::optional<std::string> text(const Variable& variable, const char* name) {
  const char* value = variable(name);
  return value == nullptr || *value == 0 ? std::nullopt : std::optional<std::string>(value);
}

std::optional<int> number(const Variable& variable, const char* name, int least, int most) {
  const std::optional<std::string> value = text(variable, name);
  if (!value) return std::nullopt;
  int result = 0;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), result);
  if (error != std::errc() || end != value->data() + value->size() || result < least || result > most) {
    fail(ErrorKind::kInput, "environment variable {}: \"{}\", wanted a number from {} to {}", name, *value,
         least, most);
  }
  return result;
}

int required(const Variable& variable, const char* name, int least, int most, const char* beside) {
  const std::optional<int> value = number(variable, name, least, most);
  if (!value) fail(ErrorKind::kInput, "environment variable {} is not set, though {} is", name, beside);
  return *value;
}

void read_torchrun(const Variable& variable, LaunchEnvironment& launch) {
  launch.size = required(variable, "WORLD_SIZE", 1, kMostRanks, "RANK");
  launch.rank = required(variable, "RANK", 0, launch.size - 1, "WORLD_SIZE");
  launch.local_size = number(variable, "LOCAL_WORLD_SIZE", 1, launch.size).value_or(1);
  launch.local_rank = number(variable, "LOCAL_RANK", 0, kMostRanks).value_or(0);
}

// sbatch sets SLURM_PROCID and SLURM_NTASKS for its script too, which is no rank: only srun sets those of a
// step.
bool read_slurm(const Variable& variable, LaunchEnvironment& launch) {
  const bool step = text(variable, "SLURM_STEP_NUM_TASKS") || text(variable, "SLURM_STEP_ID");
  if (!step || !text(variable, "SLURM_PROCID")) return false;
  const auto tasks = number(variable, "SLURM_STEP_NUM_TASKS", 1, kMostRanks);
  launch.size = tasks ? *tasks : required(variable, "SLURM_NTASKS", 1, kMostRanks, "SLURM_PROCID");
  launch.rank = required(variable, "SLURM_PROCID", 0, launch.size - 1, "SLURM_STEP_NUM_TASKS");
  launch.local_rank = number(variable, "SLURM_LOCALID", 0, kMostRanks).value_or(0);
  // Slurm binds each task to its own CPUs, so that they are not to be shared out again.
  launch.cpus_per_rank = number(variable, "SLURM_CPUS_PER_TASK", 1, kMostRanks).value_or(0);
  return true;
}

}  // namespace

LaunchEnvironment read_launch_environment(const Variable& variable) {
  LaunchEnvironment launch;
  if (text(variable, "RANK") || text(variable, "WORLD_SIZE")) {
    read_torchrun(variable, launch);
  } else if (!read_slurm(variable, launch)) {
    return launch;
  }
  if (!launch.distributed()) return launch;
  if (launch.local_rank >= launch.local_size && launch.local_size > 1) {
    fail(ErrorKind::kInput, "environment variable LOCAL_RANK: {}, wanted less than LOCAL_WORLD_SIZE {}",
         launch.local_rank, launch.local_size);
  }
  const auto address = text(variable, "MASTER_ADDR");
  if (!address) {
    fail(ErrorKind::kInput,
         "environment variable MASTER_ADDR is not set: {} ranks need the address of the machine of rank 0",
         launch.size);
  }
  launch.address = *address;
  launch.port = number(variable, "MASTER_PORT", 1, kMostPort).value_or(kDefaultPort);
  // torchrun itself listens there, with the protocol of its own PyTorch, which differs between versions. The
  // ranks meet beside it.
  if (text(variable, "TORCHELASTIC_USE_AGENT_STORE") == "True") {
    launch.port = launch.port == kMostPort ? kMostPort - 1 : launch.port + 1;
  }
  launch.port = number(variable, "PENJING_MASTER_PORT", 1, kMostPort).value_or(launch.port);
  return launch;
}

LaunchEnvironment read_launch_environment() {
  return read_launch_environment([](const char* name) { return std::getenv(name); });
}

int take_cpu_share(const LaunchEnvironment& launch) {
  const int available = available_cpus();
  if (launch.cpus_per_rank > 0) return std::min(launch.cpus_per_rank, available);
  if (launch.local_size <= 1) return available;
  cpu_set_t allowed;
  if (available >= launch.local_size && sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    std::vector<int> cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
    }
    const auto edge = [&](int r) { return cpus.size() * static_cast<std::size_t>(r) / launch.local_size; };
    cpu_set_t mine;
    CPU_ZERO(&mine);
    for (std::size_t i = edge(launch.local_rank); i < edge(launch.local_rank + 1); ++i)
      CPU_SET(cpus[i], &mine);
    // Refused in some containers; the number of threads then bounds the share.
    (void)sched_setaffinity(0, sizeof mine, &mine);
  }
  return std::max(1, std::min(available / launch.local_size, available_cpus()));
}

}  // namespace penjing::train
