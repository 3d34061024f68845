#pragma once

#include <string>

#include "base/json.h"
#include "train/loop_settings.h"

namespace penjing::train {

// What settings decide the numbers: a run is resumed with equal ones only.
Json digest_settings(const LoopSettings& settings);
// "learning_rate 2e-05, now 1e-05; seed 1, now 2", of two of them.
std::string describe_differences(const Json& before, const Json& now);

}  // namespace penjing::train
