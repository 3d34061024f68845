#include "numerics/quantizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"

namespace penjing {
namespace {

constexpr IntegerRange kRanges[] = {kUint8, kInt8, kInt7, kInt4, kUint7};

TEST(Quantizer, AffineIsTheFormula) {
  Rng rng(1);
  for (const IntegerRange range : kRanges) {
    for (int i = 0; i < 5000; ++i) {
      const float size = std::exp(8 * rng.normal());
      const float a = size * rng.normal(), b = size * rng.normal();
      const float low = std::min({a, b, 0.0f}), high = std::max({a, b, 0.0f});
      const QuantParams p = affine_params(std::min(a, b), std::max(a, b), range);
      const auto steps = static_cast<float>(range.max - range.min);
      ASSERT_EQ(p.scale, (high - low) / steps);
      ASSERT_EQ(p.inverse, 1.0f / p.scale);
      const double zero = range.min - std::nearbyint(static_cast<double>(low * p.inverse));
      ASSERT_EQ(p.zero_point, std::clamp(static_cast<int32_t>(zero), range.min, range.max));
      // Zero is exact, the ends are codes, and nothing between them is off by more than half a step (and the
      // rounding of the zero point at the ends).
      ASSERT_EQ(dequantize_value(quantize_value(0, p, range), p), 0.0f);
      for (int j = 0; j < 8; ++j) {
        const float x = low + (high - low) * static_cast<float>(rng.uniform());
        const int32_t q = quantize_value(x, p, range);
        ASSERT_GE(q, range.min);
        ASSERT_LE(q, range.max);
        ASSERT_LE(std::abs(static_cast<double>(dequantize_value(q, p)) - x), 1.0001 * p.scale) << x;
        const double exact = std::nearbyint(static_cast<double>(x * p.inverse)) + p.zero_point;
        ASSERT_EQ(q, std::clamp(static_cast<int32_t>(exact), range.min, range.max));
      }
    }
  }
}

TEST(Quantizer, SymmetricIsTheFormula) {
  Rng rng(2);
  for (const IntegerRange range : {kInt8, kInt7, kInt4}) {
    for (int i = 0; i < 5000; ++i) {
      const float largest = std::exp(8 * rng.normal());
      const QuantParams p = symmetric_params(largest, range);
      ASSERT_EQ(p.scale, largest / static_cast<float>(range.max));
      ASSERT_EQ(p.zero_point, 0);
      ASSERT_EQ(quantize_value(largest, p, range), range.max);
      ASSERT_EQ(quantize_value(-largest, p, range), -range.max);
      const float x = largest * (2 * static_cast<float>(rng.uniform()) - 1);
      const int32_t q = quantize_value(x, p, range);
      ASSERT_EQ(quantize_value(-x, p, range), -q);
      ASSERT_LE(std::abs(static_cast<double>(dequantize_value(q, p)) - x), 0.50001 * p.scale);
    }
  }
}

TEST(Quantizer, TiesGoToEven) {
  const QuantParams p = symmetric_params(127, kInt8);  // scale 1
  ASSERT_EQ(p.scale, 1.0f);
  const std::pair<float, int32_t> ties[] = {{0.5f, 0},  {1.5f, 2},   {2.5f, 2},
                                            {-0.5f, 0}, {-1.5f, -2}, {126.5f, 126}};
  for (const auto& [x, q] : ties) EXPECT_EQ(quantize_value(x, p, kInt8), q) << x;
  EXPECT_EQ(quantize_value(1e30f, p, kInt8), 127);
  EXPECT_EQ(quantize_value(-std::numeric_limits<float>::infinity(), p, kInt8), -127);
}

TEST(Quantizer, RangesWithoutAScale) {
  for (const IntegerRange range : kRanges) {
    for (const auto& [low, high] :
         {std::pair<float, float>{0, 0}, {-0.0f, 0}, {1e-44f, 1e-44f}, {-1e-38f, 1e-38f}, {-3e38f, 3e38f}}) {
      const QuantParams p = affine_params(low, high, range);
      EXPECT_TRUE(std::isfinite(p.scale) && p.scale > 0) << low;
      EXPECT_TRUE(std::isfinite(p.inverse) && p.inverse > 0) << low;
      EXPECT_EQ(dequantize_value(quantize_value(0, p, range), p), 0.0f);
    }
  }
  EXPECT_EQ(symmetric_params(0, kInt8).scale, 1.0f);
}

// No float, finite or not, leads outside the codes or to a conversion that C++ leaves undefined.
TEST(Quantizer, EveryFloatGetsACode) {
  const float infinity = std::numeric_limits<float>::infinity(),
              nan = std::numeric_limits<float>::quiet_NaN();
  for (const IntegerRange range : kRanges) {
    for (const QuantParams& p : {affine_params(-1, 3, range), affine_params(-2e-36f, 0, range),
                                 affine_params(0, 5e37f, range), symmetric_params(1, range), QuantParams{}}) {
      ASSERT_EQ(quantize_value(nan, p, range), range.min);
      ASSERT_EQ(quantize_value(-nan, p, range), range.min);
      ASSERT_EQ(quantize_value(infinity, p, range), range.max);
      ASSERT_EQ(quantize_value(-infinity, p, range), range.min);
      int32_t last = range.min;
      for (const float x : {-3e38f, -1e10f, -1.0f, -1e-40f, -0.0f, 0.0f, 1e-40f, 0.3f, 1.0f, 1e10f, 3e38f}) {
        const int32_t q = quantize_value(x, p, range);
        ASSERT_GE(q, last) << x;  // and in order
        ASSERT_LE(q, range.max) << x;
        last = q;
      }
    }
    // Params of what is no range: the ones that stand for "no scale", in which 0 is exact.
    for (const auto& [low, high] :
         {std::pair<float, float>{nan, nan}, {nan, 1}, {-1, nan}, {-infinity, 1}, {0, infinity}}) {
      const QuantParams p = affine_params(low, high, range);
      EXPECT_TRUE(std::isnormal(p.scale) && std::isnormal(p.inverse)) << low << ' ' << high;
      EXPECT_GE(p.zero_point, range.min);
      EXPECT_LE(p.zero_point, range.max);
      EXPECT_EQ(dequantize_value(quantize_value(0, p, range), p), 0.0f);
    }
    for (const float largest : {nan, infinity, 0.0f, 1e-42f}) {
      const QuantParams p = symmetric_params(largest, range);
      EXPECT_EQ(p.scale, 1.0f) << largest;
      EXPECT_EQ(p.inverse, 1.0f) << largest;
      EXPECT_EQ(p.zero_point, 0) << largest;
    }
  }
}

// A row whose numbers are all the same, of either sign, comes back exactly or within the rounding of its
// scale.
TEST(Quantizer, ConstantRows) {
  for (const float value : {-4.0f, -0.1f, 0.1f, 7.25f, 1e30f}) {
    const std::vector<float> row(16, value);
    std::vector<int8_t> codes(16);
    std::vector<float> scales(1);
    quantize_rows_symmetric(row, 1, 16, kInt8, codes, scales);
    for (const int8_t code : codes) EXPECT_EQ(code, value < 0 ? -127 : 127) << value;
    EXPECT_NEAR(scales[0] * 127, std::abs(value), std::abs(value) * 1e-6) << value;
    const QuantParams p = affine_params(value, value, kUint8);
    EXPECT_EQ(quantize_value(value, p, kUint8), value < 0 ? 0 : 255) << value;
    EXPECT_EQ(p.zero_point, value < 0 ? 255 : 0) << value;
  }
}

TEST(Quantizer, RowsHaveTheirOwnScale) {
  Rng rng(3);
  constexpr int64_t kRows = 7, kColumns = 33;
  std::vector<float> weight(kRows * kColumns);
  for (std::size_t i = 0; i < weight.size(); ++i)
    weight[i] = rng.normal() * std::pow(10.0f, static_cast<float>(i / kColumns) - 3);
  std::fill(weight.begin() + 2 * kColumns, weight.begin() + 3 * kColumns, 0.0f);
  std::vector<int8_t> codes(weight.size());
  std::vector<float> scales(kRows);
  quantize_rows_symmetric(weight, kRows, kColumns, kInt8, codes, scales);
  for (int64_t r = 0; r < kRows; ++r) {
    float largest = 0;
    int largest_code = 0;
    for (int64_t c = 0; c < kColumns; ++c) {
      const auto at = static_cast<std::size_t>(r * kColumns + c);
      largest = std::max(largest, std::abs(weight[at]));
      largest_code = std::max(largest_code, std::abs(static_cast<int>(codes[at])));
      EXPECT_LE(std::abs(weight[at] - scales[static_cast<std::size_t>(r)] * static_cast<float>(codes[at])),
                0.50001f * scales[static_cast<std::size_t>(r)]);
    }
    EXPECT_EQ(scales[static_cast<std::size_t>(r)], largest > 0 ? largest / 127 : 1.0f);
    EXPECT_EQ(largest_code, largest > 0 ? 127 : 0);
  }
}

}  // namespace
}  // namespace penjing
