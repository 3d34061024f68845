#pragma once

#include <string>
#include <vector>

#include "model/description.h"
#include "train/optimizer.h"

namespace penjing::train {

// One rule a parameter, in order. Biases and norms have no weight decay, as in BERT.
std::vector<ParameterRule> make_rules(const Parameters& parameters, const Description& description,
                                      const RuleSettings& settings);

}  // namespace penjing::train
