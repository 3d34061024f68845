#include "runtime/early_exit.h"

#include <algorithm>
#include <cmath>

namespace penjing {

// With d_i = x_i - max and S = sum exp(d_i): H = log S - sum d_i exp(d_i) / S.
float relative_entropy(std::span<const float> logits) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0, weighted = 0;
  for (const float logit : logits) {
    const double below = logit - highest, weight = std::exp(below);
    sum += weight;
    weighted += below * weight;
  }
  const double entropy = std::log(sum) - weighted / sum;
  return static_cast<float>(std::max(0.0, entropy) / std::log(static_cast<double>(logits.size())));
}

}  // namespace penjing
