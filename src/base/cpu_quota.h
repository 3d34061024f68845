#pragma once

#include <optional>
#include <string_view>

namespace penjing {

// CPUs that a cgroup quota allows, rounded up; nullopt when there is no quota or the text is not understood.
// v2: the content of cpu.max, "150000 100000" or "max 100000".
std::optional<int> parse_cpu_max(std::string_view text);
// v1: the contents of cpu.cfs_quota_us ("-1": none) and cpu.cfs_period_us.
std::optional<int> parse_cfs_quota(std::string_view quota, std::string_view period);

}  // namespace penjing
