#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "train/loop_settings.h"

namespace penjing::train {

// [{"step", "epoch", "scores": {name: number or null}}], of reports and checkpoints, and back: kFormat naming
// `where`.
Json to_json(const std::vector<Evaluated>& evaluations);
std::vector<Evaluated> read_evaluations(const Json& list, const std::string& where);

// JSON has no NaN: null is one.
double read_number(const Json& value, const std::string& where);

}  // namespace penjing::train
