#include "runtime/stops.h"

#include "base/error.h"

namespace penjing {

namespace {

constexpr std::string_view kBegin = "exit.";  // not "exits.", whose modules are heads

}  // namespace

std::string stop_site(int64_t layer) {
  return fmt::format("{}{}", kBegin, layer);
}

bool is_stop_site(const Site& site) {
  return site.layer < 0 && site.name.starts_with(kBegin);
}

std::vector<Stop> find_stops(const Program& program) {
  std::vector<Stop> stops;
  for (int i = 0; i < static_cast<int>(program.steps.size()); ++i) {
    const auto* tap = std::get_if<TapStep>(&program.steps[static_cast<std::size_t>(i)]);
    if (tap == nullptr) continue;
    const Site& site = program.sites[static_cast<std::size_t>(tap->site)];
    if (is_stop_site(site)) stops.push_back({i, tap->x, std::stoll(site.name.substr(kBegin.size()))});
  }
  return stops;
}

void check_stops(const Program& program) {
  for (const Stop& stop : find_stops(program)) {
    std::vector<char> written(program.slots.size());
    written[static_cast<std::size_t>(program.input)] = 1;
    for (int i = 0; i < static_cast<int>(program.steps.size()); ++i) {
      const SlotUse use = slots_of(program.steps[static_cast<std::size_t>(i)]);
      for (const int slot : use.reads) {
        if (i > stop.step && slot != stop.x && written[static_cast<std::size_t>(slot)] != 0) {
          fail(ErrorKind::kUnsupported,
               "exit behind layer {}: later layers read more than that layer's output", stop.layer);
        }
      }
      if (i > stop.step) continue;
      for (const int slot : use.writes) written[static_cast<std::size_t>(slot)] = 1;
    }
  }
}

}  // namespace penjing
