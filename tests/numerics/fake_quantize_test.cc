#include "numerics/fake_quantize.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "base/rng.h"

namespace penjing {
namespace {

TEST(FakeQuantize, IsTheQuantizerAndBack) {
  Rng rng(5);
  for (const IntegerRange range : {kUint8, kInt8, kInt7, kInt4, kUint7}) {
    for (int round = 0; round < 200; ++round) {
      const float lo = -std::fabs(rng.normal()), hi = std::fabs(rng.normal());
      const QuantParams params = range.min < 0 ? symmetric_params(hi, range)
                                               : affine_params(lo * (round % 3 != 0 ? 1 : 0), hi, range);
      std::vector<float> x;
      for (int i = 0; i < 100; ++i) x.push_back(rng.normal() * 2);
      for (int q = range.min - 2; q <= range.max + 2; ++q) {  // the middles between codes: ties
        x.push_back((static_cast<float>(q - params.zero_point) + 0.5f) * params.scale);
        x.push_back(static_cast<float>(q - params.zero_point) * params.scale);
      }
      for (const float edge : {0.0f, -0.0f, 1e30f, -1e30f, INFINITY, -INFINITY}) x.push_back(edge);
      std::vector<float> got(x.size());
      fake_quantize(x, params, range, got);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const float want = dequantize_value(quantize_value(x[i], params, range), params);
        ASSERT_EQ(std::bit_cast<uint32_t>(want), std::bit_cast<uint32_t>(got[i])) << x[i];
      }
    }
  }
}

TEST(FakeQuantize, NanStays) {
  std::vector<float> x = {NAN, 1};
  fake_quantize(x, symmetric_params(1, kInt8), kInt8, x);
  EXPECT_TRUE(std::isnan(x[0]));
  EXPECT_EQ(x[1], 127.0f / 127 * 1);
}

}  // namespace
}  // namespace penjing
