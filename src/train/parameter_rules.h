#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "model/description.h"
#include "train/optimizer.h"

namespace penjing::train {

// One rule a parameter, in order. Biases and norms have no weight decay, as in BERT.
std::vector<ParameterRule> make_rules(const Parameters& parameters, const Description& description,
                                      const RuleSettings& settings);

// The layer of each parameter, in order: 0 embeddings, m the m-th layer, -1 heads and what is no part of the
// model.
std::vector<int64_t> layers_of(const Parameters& parameters, const Description& description);

// The rules with the rates of layers multiplied by what `factor` says of the layer.
std::vector<ParameterRule> scale_rates(std::span<const ParameterRule> rules, std::span<const int64_t> layers,
                                       const std::function<double(int64_t layer)>& factor);

}  // namespace penjing::train
