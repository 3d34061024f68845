#include "eval/agreement.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace penjing {
namespace {

const std::vector<float> kP = {1, -2, 0.5, 3}, kQ = {0.5, -1, 1, 2};

// Wanted: scipy.spatial.distance.cosine, and scipy.stats.entropy of the two softmaxes, SciPy 1.17.1.
TEST(Agreement, CosineAndDivergenceEqualSciPys) {
  EXPECT_NEAR(cosine(kP, kQ), 0.9536632970868316, 1e-15);
  EXPECT_NEAR(kl_divergence(kP, kQ), 0.12606192225955015, 1e-14);
  EXPECT_EQ(kl_divergence(kP, kP), 0);
}

TEST(Agreement, DivergenceStandsLargeLogits) {
  const std::vector<float> high = {1000, 0}, low = {-1000, 0};
  EXPECT_NEAR(kl_divergence(high, low), 1000, 1e-9);
}

TEST(Agreement, CosineOfZeros) {
  const std::vector<float> zero(4, 0.0f);
  EXPECT_EQ(cosine(zero, zero), 1);
  EXPECT_EQ(cosine(zero, kP), 0);
}

TEST(Agreement, ArgmaxIsTheFirstOfEquals) {
  EXPECT_EQ(argmax(std::vector<float>{1, 5, 5, 2}), 1);
}

TEST(Agreement, CountsRowsAndKeepsTheWorst) {
  Agreement agreement;
  agreement.add(10, kP, kP, true);
  agreement.add(11, kP, std::vector<float>{9, -2, 0.5, 3}, true);
  agreement.add(12, kP, kQ, true);
  EXPECT_EQ(agreement.rows, 3);
  EXPECT_EQ(agreement.same_top1, 2);
  EXPECT_EQ(agreement.worst_row, 11);
  EXPECT_EQ(agreement.max_abs, 8);
  EXPECT_NEAR(agreement.top1(), 2.0 / 3, 1e-15);
  EXPECT_LT(agreement.cosine_min, 0.7);
}

TEST(Agreement, EmptyIsPerfect) {
  const Agreement agreement;
  EXPECT_EQ(agreement.cosine_mean(), 1);
  EXPECT_EQ(agreement.top1(), 1);
}

}  // namespace
}  // namespace penjing
