#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace penjing {

// Joules that the machine's processor packages took since the meter was made, other processes' share
// included: Linux's powercap counters of RAPL, `intel-rapl:N/energy_uj`, which AMD processors have too. They
// wrap after max_energy_range_uj (some 262 kJ: an hour at 70 W), so that joules() must be called more often
// than that.
class EnergyMeter {
 public:
  explicit EnergyMeter(const std::filesystem::path& powercap = "/sys/class/powercap");
  // nullopt where no counter can be read: virtual machines, other systems, and most users but root.
  std::optional<double> joules();

 private:
  struct Counter {
    std::filesystem::path file;
    int64_t last = 0, range = 0;  // microjoules
  };
  std::vector<Counter> counters_;
  double joules_ = 0;
};

}  // namespace penjing
