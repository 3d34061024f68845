#pragma once

#include <string>
#include <vector>

#include "compress/calibration.h"
#include "numerics/quantizer.h"

namespace penjing {

// How a fixed range is chosen from what calibration saw (names of conventions B.4).
//   minmax           the extremes
//   moving_average   the moving average of each forward's extremes
//   percentile       both tails cut, 0.001 % of the values in all (99.999)
//   entropy          |x| clipped at the threshold whose 128 levels lose least information (Migacz 2017)
//   mse              the share of the extremes whose codes have the least mean squared error
enum class Observer { kMinMax, kMovingAverage, kPercentile, kEntropy, kMse };
const std::vector<std::string>& observer_names();
Observer parse_observer(const std::string& name);

struct ValueRange {
  float low = 0, high = 0;
};

// All but the first two need the histogram. symmetric: the range is used as +-max(|low|, |high|).
ValueRange choose_range(const SiteStatistics& statistics, Observer observer, bool symmetric,
                        IntegerRange codes);

// Threshold of the entropy method as an index into a histogram of |x| in `bins` (methods.md A1.4): for i from
// 128 up, P = bins[0..i) with all beyond added to its last, Q = bins[0..i) in 128 levels spread back over the
// bins that are not empty; the i of the least KL(P || Q). The threshold is (i + 0.5) bin widths.
int entropy_threshold(const std::vector<double>& bins);

}  // namespace penjing
