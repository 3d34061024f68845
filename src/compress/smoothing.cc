#include "compress/smoothing.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/interrupt.h"

namespace penjing {

namespace {

// Factors far from 1 would leave the range in which 1 / s and w s are harmless.
constexpr float kLeast = 1e-5f, kMost = 1e5f;

std::vector<float> multiply_columns(std::span<const float> weight, std::span<const float> factors) {
  std::vector<float> result(weight.begin(), weight.end());
  for (std::size_t i = 0; i < result.size(); ++i) result[i] *= factors[i % factors.size()];
  return result;
}

}  // namespace

std::vector<float> smoothing_factors(std::span<const float> channel_max_abs,
                                     std::span<const GroupWeight> weights, double alpha) {
  const std::size_t in = channel_max_abs.size();
  std::vector<float> largest(in, 0), factors(in, 1);
  for (const GroupWeight& group : weights) {
    for (std::size_t i = 0; i < group.weight.size(); ++i)
      largest[i % in] = std::max(largest[i % in], std::abs(group.weight[i]));
  }
  for (std::size_t j = 0; j < in; ++j) {
    if (channel_max_abs[j] <= 0 || largest[j] <= 0) continue;
    const double s = std::pow(double{channel_max_abs[j]}, alpha) / std::pow(double{largest[j]}, 1 - alpha);
    factors[j] = std::clamp(static_cast<float>(s), kLeast, kMost);
  }
  return factors;
}

std::vector<float> activation_aware_factors(std::span<const float> channel_mean_square,
                                            std::span<const GroupWeight> weights, const RoundingRule& rule) {
  const std::size_t in = channel_mean_square.size();
  std::vector<float> best(in, 1);
  double best_error = std::numeric_limits<double>::infinity();
  for (int step = 0; step <= 20; ++step) {
    check_interrupt();
    std::vector<float> factors(in);
    for (std::size_t j = 0; j < in; ++j) {
      const double s = std::pow(std::max(double{channel_mean_square[j]}, 1e-12), 0.5 * step / 20);
      factors[j] = std::clamp(static_cast<float>(s), kLeast, kMost);
    }
    const auto [low, high] = std::minmax_element(factors.begin(), factors.end());
    const float middle = std::sqrt(*low * *high);
    for (float& factor : factors) factor /= middle;
    double error = 0;
    for (const GroupWeight& group : weights) {
      const std::vector<float> scaled = multiply_columns(group.weight, factors);
      const auto width = static_cast<int64_t>(in);
      const std::vector<float> rounded =
          expand(round_to_nearest(scaled, group.out, width, rule), group.out, width);
      for (std::size_t i = 0; i < rounded.size(); ++i) {
        const double gap = double{rounded[i]} / factors[i % in] - group.weight[i];
        error += channel_mean_square[i % in] * gap * gap;
      }
    }
    if (error < best_error) best_error = error, best = factors;
  }
  return best;
}

}  // namespace penjing
