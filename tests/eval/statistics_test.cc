// Against SciPy: scipy.stats.pearsonr, spearmanr on the same numbers.
#include "eval/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "eval/agreement.h"

namespace penjing {
namespace {

TEST(Statistics, CorrelationsAgreeWithScipy) {
  const std::vector<double> x = {1, 2, 2, 3, 5, 8, 13}, y = {2, 1, 4, 4, 4, 9, 7};
  EXPECT_NEAR(pearson(x, y), 0.7926678535369828, 1e-9);
  EXPECT_NEAR(spearman(x, y), 0.8414522910076115, 1e-9);
  EXPECT_DOUBLE_EQ(spearman(x, x), 1);
  EXPECT_TRUE(std::isnan(pearson(x, std::vector<double>(7, 3.0))));
}

TEST(Statistics, SpreadIsOfASample) {
  const std::vector<double> values = {2, 4, 4, 4, 5, 5, 7, 9};
  const Spread spread = spread_of(values);
  EXPECT_DOUBLE_EQ(spread.mean, 5);
  EXPECT_DOUBLE_EQ(*spread.deviation, std::sqrt(32.0 / 7));
  EXPECT_EQ(spread.low, 2);
  EXPECT_EQ(spread.high, 9);
  EXPECT_FALSE(spread_of(std::vector<double>{3}).deviation.has_value());
}

TEST(Statistics, QuantilesInterpolate) {
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, 0), 1);
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, 1), 4);
}

TEST(Statistics, BootstrapHoldsTheRatio) {
  std::vector<double> a, b;
  for (int i = 0; i < 30; ++i) a.push_back(2 + 0.01 * (i % 7)), b.push_back(1 + 0.01 * (i % 5));
  const Interval interval = bootstrap_ratio(a, b, 1);
  EXPECT_LT(interval.low, interval.high);
  EXPECT_GT(interval.low, 1.9);
  EXPECT_LT(interval.high, 2.1);
}

TEST(Agreement, ValuesByHand) {
  const std::vector<float> a = {1, 0}, b = {1, 1}, zero = {0, 0};
  EXPECT_NEAR(cosine(a, b), std::sqrt(0.5), 1e-12);
  EXPECT_EQ(cosine(zero, zero), 1);
  EXPECT_EQ(cosine(a, zero), 0);
  // KL of (1/2, 1/2) from softmax(0, log 3) = (1/4, 3/4).
  const std::vector<float> p = {0, 0}, q = {0, std::log(3.0f)};
  EXPECT_NEAR(kl_divergence(p, q), 0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3.0), 1e-6);
  EXPECT_EQ(argmax(q), 1);
  Agreement agreement;
  agreement.add(0, a, a, true);
  agreement.add(1, a, b, true);
  EXPECT_EQ(agreement.worst_row, 1);
  EXPECT_DOUBLE_EQ(agreement.top1(), 1);
}

}  // namespace
}  // namespace penjing
