#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace penjing {

// The CPUs of this process's affinity mask, ascending; at least one.
std::vector<int> allowed_cpus();

// Those of `allowed` that are of the machine's fast kind, where it has two kinds: what Linux calls cpu_core
// (Intel's hybrid CPUs), or the CPUs of at least 3/4 of the largest cpu_capacity (ARM's). All of `allowed`
// where it does not say so, or where none of them is fast. root: the folder of /sys/devices.
std::vector<int> fast_cpus(const std::vector<int>& allowed, const std::string& root = "/sys/devices");

// "0-3,8,10-11" of a cpulist file; what is no such list is empty.
std::vector<int> parse_cpu_list(std::string_view text);

}  // namespace penjing
