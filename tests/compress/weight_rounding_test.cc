#include "compress/weight_rounding.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/rng.h"

namespace penjing {
namespace {

std::vector<float> random_values(std::size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(count);
  for (float& value : values) value = rng.normal();
  return values;
}

// X^T X of rows whose columns lean on each other, as activations' do.
std::vector<float> correlated_moment(int64_t in, int64_t rows, uint64_t seed,
                                     std::vector<double>* x_out = nullptr) {
  Rng rng(seed);
  std::vector<double> x(static_cast<std::size_t>(rows * in));
  for (int64_t r = 0; r < rows; ++r) {
    const double shared = 2 * rng.normal();
    for (int64_t c = 0; c < in; ++c)
      x[static_cast<std::size_t>(r * in + c)] = shared + rng.normal() * static_cast<float>(1 + c % 3);
  }
  std::vector<float> moment(static_cast<std::size_t>(in * in));
  for (int64_t i = 0; i < in; ++i) {
    for (int64_t j = 0; j < in; ++j) {
      double sum = 0;
      for (int64_t r = 0; r < rows; ++r)
        sum += x[static_cast<std::size_t>(r * in + i)] * x[static_cast<std::size_t>(r * in + j)];
      moment[static_cast<std::size_t>(i * in + j)] = static_cast<float>(sum);
    }
  }
  if (x_out != nullptr) *x_out = x;
  return moment;
}

TEST(WeightRounding, NearestByRowGroupAndWhole) {
  constexpr int64_t kOut = 5, kIn = 24;
  const auto weight = random_values(kOut * kIn, 1);
  for (const Granularity granularity : {Granularity::kTensor, Granularity::kChannel, Granularity::kGroup}) {
    RoundingRule rule;
    rule.range = kInt4;
    rule.granularity = granularity;
    rule.group_size = 8;
    const RoundedWeight rounded = round_to_nearest(weight, kOut, kIn, rule);
    ASSERT_EQ(rounded.groups, granularity == Granularity::kGroup ? 3 : 1);
    const int64_t group = kIn / rounded.groups;
    for (int64_t i = 0; i < kOut * kIn; ++i) {
      const int64_t row = i / kIn, g = i % kIn / group;
      float largest = 0;
      for (int64_t k = 0; k < kOut * kIn; ++k) {
        const bool together = granularity == Granularity::kTensor || (k / kIn == row && k % kIn / group == g);
        if (together) largest = std::max(largest, std::abs(weight[static_cast<std::size_t>(k)]));
      }
      const float scale = rounded.scales[static_cast<std::size_t>(row * rounded.groups + g)];
      ASSERT_EQ(scale, largest / 7);
      const int code = rounded.codes[static_cast<std::size_t>(i)];
      ASSERT_LE(std::abs(code), 7);
      ASSERT_LE(std::abs(weight[static_cast<std::size_t>(i)] - scale * static_cast<float>(code)),
                0.5001f * scale);
    }
  }
}

TEST(WeightRounding, SearchingTheScaleLowersTheError) {
  auto weight = random_values(4 * 64, 2);
  weight[7] = 9;  // an outlier that is worth clipping
  const auto squared_error = [&](bool search) {
    RoundingRule rule;
    rule.range = kInt4;
    rule.search_scale = search;
    const auto back = expand(round_to_nearest(weight, 4, 64, rule), 4, 64);
    double error = 0;
    for (std::size_t i = 0; i < back.size(); ++i) error += std::pow(double{back[i]} - weight[i], 2);
    return error;
  };
  EXPECT_LT(squared_error(true), 0.95 * squared_error(false));
}

// The definition (optimal brain quantization with the columns in order): after column j, w -= e H^-1[j, :] /
// H^-1[j, j], then row and column j are eliminated from H^-1.
std::vector<int> direct_feedback(const std::vector<float>& row, const std::vector<float>& moment,
                                 const QuantParams& params, IntegerRange range) {
  const std::size_t n = row.size();
  std::vector<std::vector<double>> a(n, std::vector<double>(2 * n, 0));
  double mean = 0;
  for (std::size_t i = 0; i < n; ++i) mean += moment[i * n + i] / static_cast<double>(n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) a[i][j] = moment[i * n + j] + (i == j ? 0.01 * mean : 0);
    a[i][n + i] = 1;
  }
  for (std::size_t i = 0; i < n; ++i) {  // Gauss-Jordan; positive definite, so no pivoting
    const double pivot = a[i][i];
    for (double& v : a[i]) v /= pivot;
    for (std::size_t k = 0; k < n; ++k) {
      if (k == i) continue;
      const double factor = a[k][i];
      for (std::size_t j = 0; j < 2 * n; ++j) a[k][j] -= factor * a[i][j];
    }
  }
  std::vector<std::vector<double>> inverse(n, std::vector<double>(n));
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) inverse[i][j] = a[i][n + j];
  }
  std::vector<double> w(row.begin(), row.end());
  std::vector<int> codes;
  for (std::size_t j = 0; j < n; ++j) {
    const int32_t code = quantize_value(static_cast<float>(w[j]), params, range);
    codes.push_back(code);
    const double error = (w[j] - double{dequantize_value(code, params)}) / inverse[j][j];
    for (std::size_t k = j; k < n; ++k) w[k] -= error * inverse[j][k];
    const std::vector<double> line = inverse[j];
    for (std::size_t r = 0; r < n; ++r) {
      const double factor = inverse[r][j] / line[j];
      if (r != j) {
        for (std::size_t c = 0; c < n; ++c) inverse[r][c] -= factor * line[c];
      }
    }
  }
  return codes;
}

TEST(WeightRounding, FeedbackIsTheDefinition) {
  constexpr int64_t kOut = 6, kIn = 70;  // more than a block
  const auto weight = random_values(kOut * kIn, 3);
  const auto moment = correlated_moment(kIn, 300, 4);
  RoundingRule rule;
  rule.range = kInt4;
  const RoundedWeight rounded = round_with_feedback(weight, kOut, kIn, rule, moment);
  int differing = 0;
  for (int64_t row = 0; row < kOut; ++row) {
    const std::vector<float> values(weight.begin() + row * kIn, weight.begin() + (row + 1) * kIn);
    float largest = 0;
    for (const float v : values) largest = std::max(largest, std::abs(v));
    const auto wanted = direct_feedback(values, moment, symmetric_params(largest, kInt4), kInt4);
    for (int64_t c = 0; c < kIn; ++c)
      differing +=
          rounded.codes[static_cast<std::size_t>(row * kIn + c)] != wanted[static_cast<std::size_t>(c)];
  }
  // A code on the edge may fall to the other side in FP32, and moves those after it.
  EXPECT_LE(differing, 4);
}

TEST(WeightRounding, FeedbackLowersTheErrorOfTheOutputs) {
  constexpr int64_t kOut = 16, kIn = 96, kRows = 400;
  const auto weight = random_values(kOut * kIn, 5);
  std::vector<double> x;
  const auto moment = correlated_moment(kIn, kRows, 6, &x);
  const auto output_error = [&](const RoundedWeight& rounded) {
    const auto back = expand(rounded, kOut, kIn);
    double error = 0;
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t o = 0; o < kOut; ++o) {
        double gap = 0;
        for (int64_t c = 0; c < kIn; ++c) {
          const auto at = static_cast<std::size_t>(o * kIn + c);
          gap += x[static_cast<std::size_t>(r * kIn + c)] * (double{back[at]} - weight[at]);
        }
        error += gap * gap;
      }
    }
    return error;
  };
  for (const Granularity granularity : {Granularity::kChannel, Granularity::kGroup}) {
    RoundingRule rule;
    rule.range = kInt4;
    rule.granularity = granularity;
    rule.group_size = 32;
    EXPECT_LT(output_error(round_with_feedback(weight, kOut, kIn, rule, moment)),
              0.7 * output_error(round_to_nearest(weight, kOut, kIn, rule)));
  }
}

TEST(WeightRounding, InputsThatLeanOnNothingNeedNoFeedback) {
  constexpr int64_t kIn = 20;
  const auto weight = random_values(3 * kIn, 7);
  std::vector<float> moment(kIn * kIn, 0);
  for (std::size_t i = 0; i < kIn; ++i) moment[i * kIn + i] = i == 4 ? 0 : 2;  // column 4 is never used
  EXPECT_EQ(round_with_feedback(weight, 3, kIn, {}, moment).codes,
            round_to_nearest(weight, 3, kIn, {}).codes);
  for (float& v : moment) v = -1;
  EXPECT_THROW((void)round_with_feedback(weight, 3, kIn, {}, moment), Error);
}

}  // namespace
}  // namespace penjing
