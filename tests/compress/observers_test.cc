#include "compress/observers.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace penjing {
namespace {

// Normal values of deviation 1 with one value in 1e5 at 20, in bins over [-20, 20].
SiteStatistics normal_with_outliers() {
  SiteStatistics s;
  s.low = -20, s.high = 20, s.moving_low = -4, s.moving_high = 5;
  s.num_rows = 1000000;
  s.histogram.assign(kHistogramBins, 0);
  for (int i = 0; i < kHistogramBins; ++i) {
    const double x = -20 + (i + 0.5) * 40 / kHistogramBins;
    s.histogram[static_cast<std::size_t>(i)] = std::floor(1e6 * std::exp(-x * x / 2));
  }
  s.histogram.back() = 400;
  return s;
}

double error_of(const SiteStatistics& s, ValueRange range, IntegerRange codes) {
  const QuantParams params = affine_params(range.low, range.high, codes);
  double error = 0;
  for (std::size_t i = 0; i < s.histogram.size(); ++i) {
    const auto x =
        static_cast<float>(s.low + (static_cast<double>(i) + 0.5) * (s.high - s.low) / kHistogramBins);
    const double gap = double{dequantize_value(quantize_value(x, params, codes), params)} - x;
    error += s.histogram[i] * gap * gap;
  }
  return error;
}

TEST(Observers, Extremes) {
  const SiteStatistics s = normal_with_outliers();
  EXPECT_EQ(choose_range(s, Observer::kMinMax, false, kUint8).high, 20);
  EXPECT_EQ(choose_range(s, Observer::kMovingAverage, false, kUint8).high, 5);
  EXPECT_EQ(choose_range(s, Observer::kMovingAverage, false, kUint8).low, -4);
}

TEST(Observers, PercentileCutsTheTails) {
  const SiteStatistics s = normal_with_outliers();
  double total = 0;
  for (const double count : s.histogram) total += count;
  for (const bool symmetric : {false, true}) {
    const ValueRange range = choose_range(s, Observer::kPercentile, symmetric, kUint8);
    double beyond = 0;
    for (std::size_t i = 0; i < s.histogram.size(); ++i) {
      const double x = s.low + (static_cast<double>(i) + 0.5) * 40 / kHistogramBins;
      if (x < range.low || x > range.high) beyond += s.histogram[i];
    }
    EXPECT_LE(beyond, 1e-5 * total);
    EXPECT_GE(beyond, 0.2e-5 * total) << symmetric;  // and not much less than allowed
    EXPECT_TRUE(!symmetric || range.low == -range.high);
  }
}

TEST(Observers, MseIsNoWorseThanAnyOther) {
  const SiteStatistics s = normal_with_outliers();
  const IntegerRange uint4{0, 15};
  for (const IntegerRange codes : {kUint8, kUint7, uint4}) {
    const double best = error_of(s, choose_range(s, Observer::kMse, false, codes), codes);
    for (const Observer other :
         {Observer::kMinMax, Observer::kMovingAverage, Observer::kPercentile, Observer::kEntropy}) {
      EXPECT_LE(best, error_of(s, choose_range(s, other, false, codes), codes) * 1.02)
          << static_cast<int>(other);
    }
  }
  // With 16 codes it clips.
  EXPECT_LT(choose_range(s, Observer::kMse, false, uint4).high, 20);
}

// Thresholds of a direct transcription of the method in Python, on the same histograms.
TEST(Observers, EntropyThreshold) {
  std::vector<double> normal, tail, flat(512, 10);
  for (int i = 0; i < 512; ++i) {
    normal.push_back(std::floor(1e5 * std::exp(-(i / 90.0) * (i / 90.0))));
    tail.push_back(std::floor(1e5 * std::exp(-(i / 40.0))));
  }
  for (const std::size_t i : {300u, 450u, 511u}) tail[i] += 3;
  EXPECT_EQ(entropy_threshold(normal), 291);
  EXPECT_EQ(entropy_threshold(tail), 417);
  EXPECT_EQ(entropy_threshold(flat), 512);
}

TEST(Observers, EdgeCases) {
  SiteStatistics constant;
  constant.low = constant.high = 3;
  for (std::size_t i = 0; i < observer_names().size(); ++i) {
    const Observer observer = parse_observer(observer_names()[i]);
    EXPECT_EQ(static_cast<std::size_t>(observer), i);
    if (observer == Observer::kMovingAverage) continue;
    EXPECT_EQ(choose_range(constant, observer, false, kUint8).high, 3);
  }
  SiteStatistics bare;
  bare.low = -1, bare.high = 2;
  EXPECT_THROW((void)choose_range(bare, Observer::kMse, false, kUint8), Error);
  EXPECT_THROW((void)parse_observer("max"), Error);
}

}  // namespace
}  // namespace penjing
