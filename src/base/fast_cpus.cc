#include "base/fast_cpus.h"

#include <sched.h>

#include <algorithm>

#include "base/system_file.h"

namespace penjing {

namespace {

constexpr int kMostCpus = 1 << 16;

// Digits alone: neither a sign nor blanks before them.
bool leading_number(std::string_view& text, int& value) {
  if (text.empty() || text.front() < '0' || text.front() > '9') return false;
  const auto number = leading_integer(text);
  if (!number || *number >= kMostCpus) return false;
  value = static_cast<int>(*number);
  return true;
}

}  // namespace

std::vector<int> parse_cpu_list(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  std::vector<int> cpus;
  while (!text.empty()) {
    int first = 0;
    if (!leading_number(text, first)) return {};
    int last = first;
    if (!text.empty() && text.front() == '-') {
      text.remove_prefix(1);
      if (!leading_number(text, last) || last < first) return {};
    }
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
    if (text.empty()) break;
    if (text.front() != ',' || text.size() == 1) return {};
    text.remove_prefix(1);
  }
  return cpus;
}

std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

std::vector<int> fast_cpus(const std::vector<int>& allowed, const std::string& root) {
  std::vector<int> fast;
  const std::vector<int> core = parse_cpu_list(read_system_file(root + "/cpu_core/cpus"));
  if (!core.empty()) {
    for (const int cpu : allowed) {
      if (std::find(core.begin(), core.end(), cpu) != core.end()) fast.push_back(cpu);
    }
    return fast.empty() ? allowed : fast;
  }
  std::vector<int> capacity;
  int largest = 0;
  for (const int cpu : allowed) {
    int value = 0;
    const std::string text =
        read_system_file(root + "/system/cpu/cpu" + std::to_string(cpu) + "/cpu_capacity");
    std::string_view rest = text;
    if (!leading_number(rest, value)) return allowed;
    capacity.push_back(value);
    largest = std::max(largest, value);
  }
  for (std::size_t i = 0; i < allowed.size(); ++i) {
    if (4 * capacity[i] >= 3 * largest) fast.push_back(allowed[i]);
  }
  return fast;
}

}  // namespace penjing
