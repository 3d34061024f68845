#include "base/cpu_quota.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "base/fast_cpus.h"
#include "base/system_file.h"
#include "base/thread_pool.h"

namespace penjing {

namespace {

std::optional<int> ceil_ratio(int64_t quota, int64_t period) {
  if (quota <= 0 || period <= 0) return std::nullopt;
  return static_cast<int>(std::clamp<int64_t>(quota / period + (quota % period != 0 ? 1 : 0), 1, 1 << 16));
}

// The smallest quota on the way from this process's v2 group up to the root of what is mounted, and the v1
// group as containers mount it.
std::optional<int> cgroup_cpus() {
  std::optional<int> best;
  const auto consider = [&](std::optional<int> cpus) {
    if (cpus && (!best || *cpus < *best)) best = cpus;
  };
  const std::string membership = read_system_file("/proc/self/cgroup");
  std::string group;
  if (const auto at = membership.find("0::"); at != std::string::npos) {
    group = membership.substr(at + 3, membership.find('\n', at) - at - 3);
  }
  for (;;) {
    consider(parse_cpu_max(read_system_file("/sys/fs/cgroup" + group + "/cpu.max")));
    const auto slash = group.rfind('/');
    if (slash == std::string::npos) break;
    group.resize(slash);
  }
  consider(parse_cfs_quota(read_system_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
                           read_system_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us")));
  return best;
}

}  // namespace

std::optional<int> parse_cpu_max(std::string_view text) {
  const auto quota = leading_integer(text);
  if (!quota) return std::nullopt;  // "max"
  const auto period = leading_integer(text);
  return period ? ceil_ratio(*quota, *period) : std::nullopt;
}

std::optional<int> parse_cfs_quota(std::string_view quota, std::string_view period) {
  const auto quota_us = leading_integer(quota), period_us = leading_integer(period);
  if (!quota_us || !period_us) return std::nullopt;
  return ceil_ratio(*quota_us, *period_us);
}

int available_cpus() {
  auto cpus = static_cast<int>(fast_cpus(allowed_cpus()).size());
  if (const auto quota = cgroup_cpus()) cpus = std::min(cpus, *quota);
  return cpus;
}

}  // namespace penjing
