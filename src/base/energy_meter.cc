#include "base/energy_meter.h"

#include <string>

#include "base/system_file.h"

namespace penjing {

namespace {

std::optional<int64_t> read_integer(const std::filesystem::path& path) {
  const std::string text = read_system_file(path);
  std::string_view rest = text;
  return leading_integer(rest);
}

// "intel-rapl:0" is a package; "intel-rapl:0:1" a part of one, counted in it already.
bool is_package(const std::string& name) {
  constexpr std::string_view kPrefix = "intel-rapl:";
  return name.starts_with(kPrefix) && name.find(':', kPrefix.size()) == std::string::npos;
}

}  // namespace

EnergyMeter::EnergyMeter(const std::filesystem::path& powercap) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(powercap, error)) {
    if (!is_package(entry.path().filename().string())) continue;
    Counter counter;
    counter.file = entry.path() / "energy_uj";
    const auto now = read_integer(counter.file);
    if (!now.has_value()) continue;
    counter.last = *now;
    counter.range = read_integer(entry.path() / "max_energy_range_uj").value_or(0);
    counters_.push_back(counter);
  }
}

std::optional<double> EnergyMeter::joules() {
  if (counters_.empty()) return std::nullopt;
  for (Counter& counter : counters_) {
    const auto now = read_integer(counter.file);
    if (!now.has_value()) return std::nullopt;
    const int64_t wrapped = *now < counter.last ? counter.range : 0;
    joules_ += static_cast<double>(*now - counter.last + wrapped) * 1e-6;
    counter.last = *now;
  }
  return joules_;
}

}  // namespace penjing
