#include "compress/observers.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace penjing {

namespace {

constexpr double kTail = 1e-5;  // 99.999 %
constexpr int kLevels = 128;

double bin_width(const SiteStatistics& s) {
  return (double{s.high} - s.low) / kHistogramBins;
}

double center_of(const SiteStatistics& s, std::size_t bin) {
  return s.low + (static_cast<double>(bin) + 0.5) * bin_width(s);
}

double total_of(const SiteStatistics& s) {
  double total = 0;
  for (const double count : s.histogram) total += count;
  return total;
}

ValueRange cut_tails(const SiteStatistics& s, bool symmetric) {
  const double total = total_of(s);
  if (symmetric) {
    const auto magnitudes = [&](double limit) {
      double beyond = 0;
      for (std::size_t i = 0; i < s.histogram.size(); ++i)
        if (std::abs(center_of(s, i)) > limit) beyond += s.histogram[i];
      return beyond;
    };
    double limit = std::max(std::abs(s.low), std::abs(s.high));
    const double step = limit / kHistogramBins;
    while (limit > step && magnitudes(limit - step) <= kTail * total) limit -= step;
    return {static_cast<float>(-limit), static_cast<float>(limit)};
  }
  std::size_t first = 0, last = s.histogram.size() - 1;
  for (double seen = s.histogram[first]; seen <= kTail / 2 * total && first < last;
       seen += s.histogram[++first]) {
  }
  for (double seen = s.histogram[last]; seen <= kTail / 2 * total && last > first;
       seen += s.histogram[--last]) {
  }
  return {static_cast<float>(s.low + static_cast<double>(first) * bin_width(s)),
          static_cast<float>(s.low + static_cast<double>(last + 1) * bin_width(s))};
}

// |x| of the histogram in as many bins of [0, largest].
std::vector<double> fold(const SiteStatistics& s, double largest) {
  std::vector<double> bins(kHistogramBins, 0);
  for (std::size_t i = 0; i < s.histogram.size(); ++i) {
    const auto bin = static_cast<std::size_t>(std::abs(center_of(s, i)) / largest * kHistogramBins);
    bins[std::min<std::size_t>(bin, kHistogramBins - 1)] += s.histogram[i];
  }
  return bins;
}

double squared_error(const SiteStatistics& s, float low, float high, bool symmetric, IntegerRange codes) {
  const QuantParams params =
      symmetric ? symmetric_params(std::max(-low, high), codes) : affine_params(low, high, codes);
  double error = 0;
  for (std::size_t i = 0; i < s.histogram.size(); ++i) {
    if (s.histogram[i] == 0) continue;
    const auto x = static_cast<float>(center_of(s, i));
    const double gap = double{dequantize_value(quantize_value(x, params, codes), params)} - x;
    error += s.histogram[i] * gap * gap;
  }
  return error;
}

ValueRange least_squares(const SiteStatistics& s, bool symmetric, IntegerRange codes) {
  ValueRange best{s.low, s.high};
  double best_error = squared_error(s, s.low, s.high, symmetric, codes);
  const float largest = std::max(std::abs(s.low), std::abs(s.high));
  for (int percent = 99; percent >= 20; --percent) {
    // Clipping at a share of the largest magnitude leaves a small other side whole.
    const float limit = largest * static_cast<float>(percent) / 100;
    const float low = std::max(s.low, -limit), high = std::min(s.high, limit);
    const double error = squared_error(s, low, high, symmetric, codes);
    if (error < best_error) best_error = error, best = {low, high};
  }
  return best;
}

}  // namespace

const std::vector<std::string>& observer_names() {
  static const std::vector<std::string> names = {"minmax", "moving_average", "percentile", "entropy", "mse"};
  return names;
}

Observer parse_observer(const std::string& name) {
  for (std::size_t i = 0; i < observer_names().size(); ++i) {
    if (observer_names()[i] == name) return static_cast<Observer>(i);
  }
  fail(ErrorKind::kInput, "observer \"{}\"; wanted minmax, moving_average, percentile, entropy or mse", name);
}

int entropy_threshold(const std::vector<double>& bins) {
  const int count = static_cast<int>(bins.size());
  std::vector<double> beyond(bins.size() + 1, 0);
  for (int i = count - 1; i >= 0; --i)
    beyond[static_cast<std::size_t>(i)] =
        beyond[static_cast<std::size_t>(i) + 1] + bins[static_cast<std::size_t>(i)];
  int best = count;
  double best_divergence = std::numeric_limits<double>::infinity();
  std::vector<double> q(bins.size());
  for (int i = kLevels; i <= count; ++i) {
    const double p_total = beyond[0], q_total = beyond[0] - beyond[static_cast<std::size_t>(i)];
    if (p_total <= 0 || q_total <= 0) continue;
    // Q: level l covers bins [l i / 128, (l + 1) i / 128); its mass spreads over those that are not empty.
    for (int level = 0; level < kLevels; ++level) {
      const int begin = level * i / kLevels, end = (level + 1) * i / kLevels;
      double mass = 0;
      int filled = 0;
      for (int b = begin; b < end; ++b) {
        mass += bins[static_cast<std::size_t>(b)];
        filled += bins[static_cast<std::size_t>(b)] > 0 ? 1 : 0;
      }
      for (int b = begin; b < end; ++b)
        q[static_cast<std::size_t>(b)] = bins[static_cast<std::size_t>(b)] > 0 ? mass / filled : 0;
    }
    double divergence = 0;
    for (int b = 0; b < i; ++b) {
      const auto at = static_cast<std::size_t>(b);
      const double p = (bins[at] + (b == i - 1 ? beyond[static_cast<std::size_t>(i)] : 0)) / p_total;
      if (p <= 0) continue;
      // A last bin that only clipping fills has no share in Q: as good as forbidden.
      divergence += q[at] > 0 ? p * std::log(p / (q[at] / q_total)) : p * 1e3;
    }
    if (divergence < best_divergence) best_divergence = divergence, best = i;
  }
  return best;
}

ValueRange choose_range(const SiteStatistics& s, Observer observer, bool symmetric, IntegerRange codes) {
  if (observer == Observer::kMovingAverage) return {s.moving_low, s.moving_high};
  const bool constant = !(s.high > s.low);
  if (observer == Observer::kMinMax || constant) return {s.low, s.high};
  if (s.histogram.empty())
    fail(ErrorKind::kInput,
         "the statistics have no histograms; observer minmax or moving_average needs none");
  if (observer == Observer::kPercentile) return cut_tails(s, symmetric);
  if (observer == Observer::kMse) return least_squares(s, symmetric, codes);
  const double largest = std::max(std::abs(s.low), std::abs(s.high));
  const double limit = (entropy_threshold(fold(s, largest)) + 0.5) * largest / kHistogramBins;
  return {std::max(s.low, static_cast<float>(-limit)), std::min(s.high, static_cast<float>(limit))};
}

}  // namespace penjing
