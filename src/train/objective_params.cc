#include "train/objective_params.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace penjing::train {

namespace {

std::string list(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

const Json* ObjectiveParams::find(const char* name) {
  known_.emplace_back(name);
  const Json* value = params_.find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

double ObjectiveParams::number(const char* name, double fallback, double low, double high) {
  const Json* value = find(name);
  if (value == nullptr) return fallback;
  if (!value->is_number() || !(value->as_double(name) >= low && value->as_double(name) <= high))
    fail(ErrorKind::kInput, "{}: {}, wanted a number from {} to {}", name, value->dump(), low, high);
  return value->as_double(name);
}

int64_t ObjectiveParams::integer(const char* name, int64_t fallback, int64_t low, int64_t high) {
  const Json* value = find(name);
  if (value == nullptr) return fallback;
  if (!value->is_int() || value->as_int(name) < low || value->as_int(name) > high)
    fail(ErrorKind::kInput, "{}: {}, wanted an integer from {} to {}", name, value->dump(), low, high);
  return value->as_int(name);
}

bool ObjectiveParams::flag(const char* name, bool fallback) {
  const Json* value = find(name);
  if (value == nullptr) return fallback;
  if (!value->is_bool()) fail(ErrorKind::kInput, "{}: {}, wanted true or false", name, value->dump());
  return value->as_bool(name);
}

std::string ObjectiveParams::word(const char* name, std::initializer_list<const char*> choices) {
  const Json* value = find(name);
  if (value == nullptr) return *choices.begin();
  if (value->is_string()) {
    for (const char* choice : choices) {
      if (value->as_string(name) == choice) return choice;
    }
  }
  fail(ErrorKind::kInput, "{}: {}, wanted {}", name, value->dump(),
       list(std::vector<std::string>(choices.begin(), choices.end())));
}

std::string ObjectiveParams::text(const char* name, const std::string& fallback) {
  const Json* value = find(name);
  if (value == nullptr) return fallback;
  if (!value->is_string()) fail(ErrorKind::kInput, "{}: {}, wanted a text", name, value->dump());
  return value->as_string(name);
}

std::vector<float> ObjectiveParams::class_weights(std::span<const float> balanced) {
  const Json* value = find("class_weights");
  std::vector<float> weights;
  if (value == nullptr) return weights;
  if (value->is_string() && value->as_string("class_weights") == "balanced")
    return {balanced.begin(), balanced.end()};
  if (!value->is_array() || value->as_array("").size() != balanced.size())
    fail(ErrorKind::kInput, "class_weights: {}, wanted \"balanced\" or a list of {} numbers", value->dump(),
         balanced.size());
  for (const Json& weight : value->as_array("class_weights")) {
    if (!weight.is_number() || !(weight.as_double("") >= 0))
      fail(ErrorKind::kInput, "class_weights: {}, wanted numbers from 0", weight.dump());
    weights.push_back(static_cast<float>(weight.as_double("class_weights")));
  }
  return weights;
}

void ObjectiveParams::refuse_others() const {
  if (!params_.is_object()) return;
  for (const auto& [name, value] : params_.as_object("params")) {
    if (name != "task" && std::find(known_.begin(), known_.end(), name) == known_.end())
      fail(ErrorKind::kInput, "no parameter \"{}\" for this task; there are: {}", name,
           known_.empty() ? "none" : list(known_));
  }
}

std::vector<float> balanced_weights(std::span<const int64_t> counts) {
  const auto all = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  std::vector<float> weights;
  for (const int64_t count : counts) {
    const double share = static_cast<double>(counts.size()) * static_cast<double>(count);
    weights.push_back(count == 0 ? 1.0f : static_cast<float>(all / share));
  }
  return weights;
}

}  // namespace penjing::train
