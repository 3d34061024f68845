#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace penjing {

double pearson(std::span<const double> x, std::span<const double> y);   // NaN when one is constant
double spearman(std::span<const double> x, std::span<const double> y);  // ties get their mean rank
double quantile(std::vector<double> values, double q);  // linear between order statistics; q in [0, 1]

// Of at least one value.
struct Spread {
  double mean = 0, low = 0, high = 0;    // low, high: the least and the greatest
  std::optional<double> deviation = {};  // of a sample: sum of squares / (count - 1); none of one value
};
Spread spread_of(std::span<const double> values);

struct Interval {
  double low = 0, high = 0;
};
// 95 % interval of median(a) / median(b) by a percentile bootstrap over paired rounds (Efron 1979).
Interval bootstrap_ratio(std::span<const double> a, std::span<const double> b, uint64_t seed,
                         int resamples = 2000);

}  // namespace penjing
