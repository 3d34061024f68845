#include "train/evaluated.h"

#include <limits>

#include "base/error.h"

namespace penjing::train {

Json to_json(const std::vector<Evaluated>& evaluations) {
  Json list = Json::array();
  for (const Evaluated& evaluated : evaluations) {
    Json scores = Json::object();
    for (const auto& [name, value] : evaluated.scores) scores.set(name, value);
    list.push_back(Json::object({{"step", evaluated.step}, {"epoch", evaluated.epoch}, {"scores", scores}}));
  }
  return list;
}

std::vector<Evaluated> read_evaluations(const Json& list, const std::string& where) {
  const auto field = [&](const Json& in, const char* name) -> const Json& {
    const Json* value = in.find(name);
    if (value == nullptr) fail(ErrorKind::kFormat, "{}: an evaluation without {}", where, name);
    return *value;
  };
  std::vector<Evaluated> evaluations;
  for (const Json& item : list.as_array(where)) {
    Evaluated evaluated;
    evaluated.step = field(item, "step").as_int(where);
    evaluated.epoch = field(item, "epoch").as_double(where);
    for (const auto& [name, value] : field(item, "scores").as_object(where)) {
      evaluated.scores.emplace_back(name, read_number(value, where));
    }
    evaluations.push_back(std::move(evaluated));
  }
  return evaluations;
}

double read_number(const Json& value, const std::string& where) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.as_double(where);
}

}  // namespace penjing::train
