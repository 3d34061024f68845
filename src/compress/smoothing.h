#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compress/weight_rounding.h"

namespace penjing {

// Weights [out, in] of linear layers that read the same value.
struct GroupWeight {
  std::span<const float> weight;
  int64_t out = 0;
};

// s_j = max|X_j|^alpha / max|W_j|^(1 - alpha) over all weights of the group (Xiao et al. 2022, "SmoothQuant",
// eq. 4), so that y = (x / s) (W diag(s))^T has an input that is easier to round. 1 where a channel is always
// zero. [in].
std::vector<float> smoothing_factors(std::span<const float> channel_max_abs,
                                     std::span<const GroupWeight> weights, double alpha);

// s_j = (mean x_j^2)^(alpha / 2), normalised to sqrt(max s min s) = 1, with the alpha of {0, 0.05, ..., 1}
// whose rounded weights change the outputs least: the sum of mean x_j^2 (w^ - w)_oj^2 (Lin et al. 2023,
// "AWQ", eq. 5, with the second moments' diagonal for the inputs). [in].
std::vector<float> activation_aware_factors(std::span<const float> channel_mean_square,
                                            std::span<const GroupWeight> weights, const RoundingRule& rule);

}  // namespace penjing
