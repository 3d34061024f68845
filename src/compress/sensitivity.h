#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "compress/calibration.h"

namespace penjing {

// How much each module harms the encoder's output when it alone is changed: the mean over texts and tokens of
// |h - h_changed|^2 / |h|^2, the most harmful first. change(model, module) changes one module of a copy.
std::vector<std::pair<std::string, double>> measure_sensitivity(
    const Model& model, const std::vector<std::string>& modules, const CalibrationRun& run,
    const std::function<void(Model& copy, const std::string& module)>& change);

}  // namespace penjing
