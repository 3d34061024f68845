#include "numerics/exponent_histogram.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "base/error.h"

namespace penjing {
namespace {

TEST(ExponentHistogram, CountsByHand) {
  const std::vector<float> values = {0.0f,      -0.0f,   1.0f,      1.99f,     -2.0f,
                                     0.5f,      -0.25f,  0x1p-149f, 0x3p-149f, 0x1p-127f,
                                     0x1p-126f, 3.4e38f, INFINITY,  -INFINITY, NAN};
  ExponentHistogram h;
  h.add(values);
  EXPECT_EQ(h.zeros, 2);
  EXPECT_EQ(h.infinities, 2);
  EXPECT_EQ(h.nans, 1);
  EXPECT_EQ(h.numbers(), 10);
  EXPECT_EQ(h.count(), 15);
  const auto bin = [&](int e) { return h.bins[static_cast<std::size_t>(e - ExponentHistogram::kLowest)]; };
  EXPECT_EQ(bin(0), 2);
  EXPECT_EQ(bin(1), 1);
  EXPECT_EQ(bin(-1), 1);
  EXPECT_EQ(bin(-2), 1);
  EXPECT_EQ(bin(-149), 1);
  EXPECT_EQ(bin(-148), 1);  // 3 * 2^-149
  EXPECT_EQ(bin(-127), 1);
  EXPECT_EQ(bin(-126), 1);
  EXPECT_EQ(bin(127), 1);
  EXPECT_EQ(h.lowest(), -149);
  EXPECT_EQ(h.highest(), 127);
  EXPECT_EQ(h.below(0), 6);
  EXPECT_EQ(h.at_least(0), 4);
  EXPECT_EQ(h.below(200), 10);
  EXPECT_EQ(h.below(-200), 0);
}

TEST(ExponentHistogram, AgreesWithIlogbAndAddsUp) {
  std::mt19937 engine(3);
  std::vector<float> values;
  for (int i = 0; i < 20000; ++i) values.push_back(std::bit_cast<float>(static_cast<uint32_t>(engine())));
  ExponentHistogram whole, parts;
  whole.add(values);
  for (std::size_t at = 0; at < values.size(); at += 1000) {
    ExponentHistogram part;
    part.add(std::span(values).subspan(at, 1000));
    parts.add(part);
  }
  std::array<int64_t, 277> expected{};
  for (const float x : values) {
    if (std::isfinite(x) && x != 0) ++expected[static_cast<std::size_t>(std::ilogb(x) + 149)];
  }
  EXPECT_EQ(whole.bins, expected);
  EXPECT_EQ(parts.bins, expected);
  EXPECT_EQ(parts.smallest, whole.smallest);
  EXPECT_EQ(parts.largest, whole.largest);
}

TEST(ExponentHistogram, JsonAndBack) {
  ExponentHistogram h;
  h.add(std::vector<float>{1e-30f, -3.0f, 0.0f, 1e-45f, INFINITY});
  const ExponentHistogram back =
      ExponentHistogram::from_json(Json::parse(h.to_json().dump(), "text"), "record");
  EXPECT_EQ(back.bins, h.bins);
  EXPECT_EQ(back.smallest, h.smallest);
  EXPECT_EQ(back.largest, h.largest);
  EXPECT_EQ(back.zeros, 1);
  EXPECT_EQ(back.infinities, 1);
  const auto refused = [](const char* text) {
    try {
      (void)ExponentHistogram::from_json(Json::parse(text, "text"), "record");
      return false;
    } catch (const Error& e) {
      return e.kind() == ErrorKind::kFormat && std::string(e.what()).starts_with("record");
    }
  };
  EXPECT_TRUE(refused("{}"));
  const std::string head = R"({"zeros":0,"infinities":0,"nans":0,"smallest":1,"largest":1,"exponents":)";
  EXPECT_TRUE(refused((head + R"({"128": 1}})").c_str()));
  EXPECT_TRUE(refused((head + R"({"x": 1}})").c_str()));
  EXPECT_TRUE(refused((head + R"({"0": -1}})").c_str()));
  EXPECT_TRUE(refused((head + R"({}})").c_str()));  // nothing in the bins, and yet a largest
  EXPECT_FALSE(refused((head + R"({"0": 1}})").c_str()));
}

}  // namespace
}  // namespace penjing
