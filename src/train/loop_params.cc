#include "train/loop_params.h"

#include <algorithm>

#include "base/error.h"
#include "base/parse.h"

namespace penjing::train {

namespace {

// "PATTERN:rate=0.1,decay=0,frozen"
ParameterGroup parse_group(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) fail(ErrorKind::kInput, "group {}: wanted PATTERN:SETTING,...", text);
  ParameterGroup group;
  group.pattern = text.substr(0, colon);
  for (const std::string& setting : split_at(text.substr(colon + 1), ',')) {
    if (setting == "frozen") {
      group.frozen = true;
    } else if (setting.starts_with("rate=")) {
      group.rate = parse_number(setting.substr(5), "group: rate");
    } else if (setting.starts_with("decay=")) {
      group.weight_decay = parse_number(setting.substr(6), "group: decay");
    } else {
      fail(ErrorKind::kInput, "group {}: \"{}\"; there are rate=, decay= and frozen", text, setting);
    }
  }
  return group;
}

// cpu, cuda, cuda:N; whether it is there is for train/device.h to say.
bool names_device(std::string_view text) {
  if (text == "cpu" || text == "cuda") return true;
  constexpr std::string_view kNumbered = "cuda:";
  const std::string_view number = text.starts_with(kNumbered) ? text.substr(kNumbered.size()) : "";
  return !number.empty() && number.size() <= 2 && number.find_first_not_of("0123456789") == number.npos;
}

// Names of a .def list as users write them.
std::vector<std::string> as_written(std::vector<std::string> names) {
  for (std::string& name : names) std::replace(name.begin(), name.end(), '_', '-');
  return names;
}

}  // namespace

const std::vector<std::string>& LoopParams::optimizer_names() {
  static const std::vector<std::string> names = as_written({
#define PENJING_OPTIMIZER(name) #name,
#include "train/optimizers.def"
#undef PENJING_OPTIMIZER
  });
  return names;
}

const std::vector<std::string>& LoopParams::precision_names() {
  static const std::vector<std::string> names = as_written({
#define PENJING_PRECISION(name) #name,
#include "train/precision/precisions.def"
#undef PENJING_PRECISION
  });
  return names;
}

LoopSettings LoopParams::settings() const {
  LoopSettings settings = loop;
  if (!names_device(settings.device)) {
    fail(ErrorKind::kInput, "device: \"{}\"; there are cpu, cuda and cuda:N, N from 0", settings.device);
  }
  settings.schedule = parse_schedule(schedule);
  settings.seed = settings.batches.seed = static_cast<uint64_t>(seed);
  for (const std::string& group : groups) settings.rules.groups.push_back(parse_group(group));
  return settings;
}

}  // namespace penjing::train
