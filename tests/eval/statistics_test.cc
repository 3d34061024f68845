#include "eval/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace penjing {
namespace {

// With ties on both sides. Wanted: scipy.stats.pearsonr, spearmanr of SciPy 1.17.1.
const std::vector<double> kX = {2, 4, 4, 1, 7, 7, 7, 3, 9, 5};
const std::vector<double> kY = {1.5, 2.5, 2.5, 0.5, 6, 5, 6.5, 3.5, 8, 2.5};

TEST(Statistics, CorrelationsEqualSciPys) {
  EXPECT_NEAR(pearson(kX, kY), 0.9411871910621641, 1e-14);
  EXPECT_NEAR(spearman(kX, kY), 0.9034311751310986, 1e-14);
}

TEST(Statistics, CorrelationWithAConstantIsNotANumber) {
  const std::vector<double> constant(kX.size(), 3.0);
  EXPECT_TRUE(std::isnan(pearson(kX, constant)));
  EXPECT_TRUE(std::isnan(spearman(constant, kY)));
}

TEST(Statistics, SpearmanSeesOrderOnly) {
  std::vector<double> stretched;
  for (const double y : kY) stretched.push_back(std::exp(3 * y));
  EXPECT_DOUBLE_EQ(spearman(kX, stretched), spearman(kX, kY));
  for (double& y : stretched) y = -y;
  EXPECT_DOUBLE_EQ(spearman(kX, stretched), -spearman(kX, kY));
}

// Wanted: numpy.quantile, its default method.
TEST(Statistics, QuantilesEqualNumPys) {
  EXPECT_DOUBLE_EQ(quantile(kX, 0), 1);
  EXPECT_DOUBLE_EQ(quantile(kX, 0.1), 1.9);
  EXPECT_DOUBLE_EQ(quantile(kX, 0.25), 3.25);
  EXPECT_DOUBLE_EQ(quantile(kX, 0.5), 4.5);
  EXPECT_DOUBLE_EQ(quantile(kX, 0.99), 8.82);
  EXPECT_DOUBLE_EQ(quantile(kX, 1), 9);
  EXPECT_DOUBLE_EQ(quantile({5}, 0.7), 5);
}

TEST(Statistics, BootstrapHoldsTheRatioAndIsDeterministic) {
  std::vector<double> slow, fast;
  for (int i = 0; i < 40; ++i) {
    fast.push_back(1.0 + 0.01 * (i * 7 % 13));
    slow.push_back(2.0 * (1.0 + 0.01 * (i * 5 % 11)));
  }
  const double ratio = quantile(slow, 0.5) / quantile(fast, 0.5);
  const Interval a = bootstrap_ratio(slow, fast, 1), b = bootstrap_ratio(slow, fast, 1);
  EXPECT_LE(a.low, ratio);
  EXPECT_GE(a.high, ratio);
  EXPECT_LT(a.low, a.high);
  EXPECT_LT(a.high - a.low, 0.2);
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
}

TEST(Statistics, BootstrapOfEqualTimesIsAPoint) {
  const std::vector<double> same(10, 3.0);
  const Interval interval = bootstrap_ratio(same, same, 9);
  EXPECT_EQ(interval.low, 1);
  EXPECT_EQ(interval.high, 1);
}

}  // namespace
}  // namespace penjing
