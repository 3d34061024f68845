#include "model/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/rng.h"

namespace penjing {
namespace {

TEST(Statistics, EqualsThePlainFormula) {
  Rng rng(5);
  constexpr int64_t kRows = 300, kColumns = 701;  // more than one block of the reader
  std::vector<float> values(kRows * kColumns);
  for (float& v : values) v = rng.below(4) == 0 ? 0.0f : static_cast<float>(rng.normal());
  values[12345] = 50;
  const TensorStatistics s = measure_tensor(Tensor::from_floats({kRows, kColumns}, values), "x");
  double sum = 0, squares = 0, zeros = 0, low = values[0], high = values[0];
  for (const float v : values) {
    sum += v;
    squares += double{v} * v;
    zeros += v == 0;
    low = std::min<double>(low, v);
    high = std::max<double>(high, v);
  }
  const auto n = static_cast<double>(values.size());
  const double mean = sum / n, deviation = std::sqrt(squares / n - mean * mean);
  double beyond = 0;
  for (const float v : values) beyond += std::abs(v - mean) > 6 * deviation;
  EXPECT_EQ(s.min, low);
  EXPECT_EQ(s.max, high);
  EXPECT_NEAR(s.mean, mean, 1e-9);
  EXPECT_NEAR(s.deviation, deviation, 1e-6);
  EXPECT_DOUBLE_EQ(s.zeros, zeros / n);
  EXPECT_NEAR(s.outlier, 50 / std::sqrt(squares / n), 1e-6);
  EXPECT_DOUBLE_EQ(s.beyond_six, beyond / n);
  EXPECT_EQ(s.not_finite, 0);
}

TEST(Statistics, PatternsOfZeros) {
  // 8 outputs x 8 inputs: of the 16 blocks of 4 outputs x 1 input three are zero; 2:4 holds in the last row
  // only.
  std::vector<float> values(64, 1.0f);
  for (const int column : {0, 5, 7}) {
    for (int row = 0; row < 4; ++row) values[static_cast<std::size_t>(row * 8 + column)] = 0;
  }
  for (const int column : {0, 1, 4, 6}) values[static_cast<std::size_t>(7 * 8 + column)] = 0;
  const TensorStatistics s = measure_tensor(Tensor::from_floats({8, 8}, values), "x");
  EXPECT_DOUBLE_EQ(s.zeros_4x1, 3.0 / 16);
  // Rows 0 to 3 have zeros at 5 and 7 in their second group; row 7 in both groups.
  EXPECT_DOUBLE_EQ(s.pairs_2of4, 6.0 / 16);
}

TEST(Statistics, CountsWhatIsNotFinite) {
  const float values[] = {1, std::nanf(""), -std::numeric_limits<float>::infinity(), 2};
  EXPECT_EQ(measure_tensor(Tensor::from_floats({4}, values), "x").not_finite, 2);
}

}  // namespace
}  // namespace penjing
