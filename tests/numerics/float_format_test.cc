#include "numerics/float_format.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "base/hash.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/rng.h"
#include "numerics/float16.h"

namespace penjing {
namespace {

constexpr float kInfinite = std::numeric_limits<float>::infinity();

const FloatFormat& named(const char* name) {
  return *find_float_format(name);
}

// The definition in exact doubles: the nearest multiple of the spacing at x, ties to even; or the one toward
// zero.
double rounded_by_definition(const FloatFormat& format, double x, Rounding rounding, Overflow overflow) {
  if (std::isnan(x)) return x;
  double result = x;
  if (std::isfinite(x)) {
    const double quotient = std::ldexp(x, -std::ilogb(format.spacing(x)));
    const double units = rounding == Rounding::kNearestEven ? std::nearbyint(quotient) : std::trunc(quotient);
    result = std::ldexp(units, std::ilogb(format.spacing(x)));
  }
  if (std::abs(result) <= format.largest()) return result;
  if (overflow == Overflow::kSaturate || (rounding == Rounding::kTowardZero && std::isfinite(x)))
    return std::copysign(format.largest(), x);
  return format.has_infinity ? std::copysign(kInfinite, x) : std::nan("");
}

bool same(double wanted, float found) {
  if (std::isnan(wanted)) return std::isnan(found);
  return wanted == double{found} && std::signbit(wanted) == std::signbit(found);
}

// Methods page A2, computed there by hand.
TEST(FloatFormats, RangesAsPublished) {
  EXPECT_EQ(named("fp16").largest(), 65504);
  EXPECT_EQ(named("fp16").smallest_normal(), 0x1p-14);
  EXPECT_EQ(named("fp16").smallest_subnormal(), 0x1p-24);
  EXPECT_EQ(named("bf16").largest(), 0x1.fep127);
  EXPECT_EQ(named("bf16").smallest_subnormal(), 0x1p-133);
  EXPECT_EQ(named("tf32").largest(), 0x1.ffcp127);
  EXPECT_EQ(named("fp32").largest(), double{std::numeric_limits<float>::max()});
  EXPECT_EQ(named("fp8_e4m3").largest(), 448);
  EXPECT_EQ(named("fp8_e4m3").smallest_subnormal(), 0x1p-9);
  EXPECT_EQ(named("fp8_e5m2").largest(), 57344);
  EXPECT_EQ(named("fp8_e5m2").smallest_subnormal(), 0x1p-16);
  EXPECT_EQ(named("fp16").exact_integers(), 2048);
  EXPECT_EQ(named("fp8_e4m3").exact_integers(), 16);
  EXPECT_EQ(named("fp16").spacing(1024), 1);
  EXPECT_EQ(named("fp16").spacing(65504), 32);
  EXPECT_EQ(find_float_format("fp12"), nullptr);
}

// Every code of the small formats is a value that encodes to itself, in rising order; NaN codes are NaN.
TEST(FloatFormats, EveryCode) {
  for (const FloatFormat& format : float_formats()) {
    if (format.bits() > 16) continue;
    double before = -1;
    for (uint32_t code = 0; code < format.sign_mask(); ++code) {
      const float value = decode(format, code);
      if (is_nan_code(format, code)) {
        EXPECT_TRUE(std::isnan(value)) << format.name << " " << code;
        EXPECT_TRUE(is_nan_code(format, encode(format, value)));
        continue;
      }
      EXPECT_GT(double{value}, before) << format.name << " " << code;
      before = double{value};
      if (std::isfinite(value)) {
        EXPECT_EQ(next_above(format, encode(format, -value)),
                  -decode(format, code == 0 ? format.sign_mask() | 1 : code - 1));
      }
      for (const Rounding rounding : {Rounding::kNearestEven, Rounding::kTowardZero, Rounding::kStochastic}) {
        EXPECT_EQ(encode(format, value, rounding), code) << format.name;
        EXPECT_EQ(encode(format, -value, rounding), code | format.sign_mask()) << format.name;
      }
    }
  }
  EXPECT_EQ(next_above(named("fp16"), named("fp16").largest_code()), kInfinite);
  EXPECT_TRUE(std::isnan(next_above(named("fp8_e4m3"), named("fp8_e4m3").largest_code())));
  EXPECT_EQ(next_below(named("fp16"), 0), -0x1p-24f);
}

// Values around every code's and around the middles between them, and random bits, by the definition; the
// array form is equal to the plain one.
TEST(FloatFormats, RoundingByDefinition) {
  Rng rng(1);
  for (const FloatFormat& format : float_formats()) {
    std::vector<float> values = {0.0f, -0.0f, kInfinite, -kInfinite, std::nanf(""), -std::nanf("")};
    for (int i = 0; i < 40000; ++i) values.push_back(std::bit_cast<float>(static_cast<uint32_t>(rng.bits())));
    for (int i = 0; i < 2000; ++i) {
      const auto code = static_cast<uint32_t>(rng.below(format.largest_code() + 1));
      const double low = double{decode(format, code)}, middle = low + format.spacing(low) / 2;
      for (const double x : {low, middle}) {
        const auto at = static_cast<float>(x);
        values.insert(values.end(), {at, -at, std::nextafter(at, kInfinite), std::nextafter(at, -kInfinite)});
      }
    }
    for (const Rounding rounding : {Rounding::kNearestEven, Rounding::kTowardZero}) {
      for (const Overflow overflow : {Overflow::kInfinity, Overflow::kSaturate}) {
        std::vector<float> rounded(values.size());
        round_floats(format, rounding, overflow, values, rounded);
        for (std::size_t i = 0; i < values.size(); ++i) {
          const float plain = decode(format, encode(format, values[i], rounding, overflow));
          ASSERT_TRUE(same(rounded_by_definition(format, double{values[i]}, rounding, overflow), plain))
              << format.name << " " << values[i] << " became " << plain;
          ASSERT_TRUE(same(double{plain}, rounded[i]))
              << format.name << " " << values[i] << ": " << plain << ", array " << rounded[i];
          if (std::isfinite(plain) && std::isfinite(values[i]) &&
              std::fabs(double{values[i]}) <= format.largest()) {
            ASSERT_LE(std::fabs(double{plain} - double{values[i]}),
                      format.error_bound(double{values[i]}, rounding));
          }
        }
      }
    }
  }
}

// The mean of many stochastic roundings is the value itself; what is a value stays.
TEST(FloatFormats, StochasticRoundingIsUnbiased) {
  Rng rng(2);
  for (const FloatFormat& format : float_formats()) {
    if (format.mantissa_bits > 10) continue;
    for (const double share : {0.1, 0.5, 0.9}) {
      const double low = 1.0, spacing = format.spacing(low);
      const auto x = static_cast<float>(low + share * spacing);
      constexpr int kDraws = 20000;
      int up = 0;
      for (int i = 0; i < kDraws; ++i) {
        const float y = decode(format, encode(format, x, Rounding::kStochastic, Overflow::kInfinity,
                                              static_cast<uint32_t>(rng.bits())));
        ASSERT_TRUE(double{y} == low || double{y} == low + spacing);
        up += double{y} > low ? 1 : 0;
      }
      EXPECT_NEAR(up / double{kDraws}, share, 0.015) << format.name;
    }
    // Far below the smallest value, up is rare but possible.
    const auto tiny = static_cast<float>(format.smallest_subnormal() / 1024);
    EXPECT_EQ(encode(format, tiny, Rounding::kStochastic, Overflow::kInfinity, 0), tiny > 0 ? 1u : 0u)
        << format.name;
    EXPECT_EQ(encode(format, tiny, Rounding::kStochastic, Overflow::kInfinity, 0xffffffff), 0u);
  }
}

// The halves of float16.h are these formats.
TEST(FloatFormats, AgreeWithTheHalves) {
  Rng rng(3);
  for (int i = 0; i < 200000; ++i) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(rng.bits()));
    ASSERT_EQ(encode(named("fp16"), x), float_to_half(x)) << x;
    ASSERT_EQ(encode(named("bf16"), x), float_to_bfloat16(x)) << x;
  }
}

// NumPy and ml_dtypes on a million values and the special ones.
TEST(FloatFormats, AgreeWithNumPyAndMlDtypes) {
  const Json reference = Json::parse(
      read_text_file(PENJING_SOURCE_DIR "/tests/data/numerics_reference.json", 1 << 20), "reference");
  std::vector<float> values;
  for (const Json& bits : reference.find("special")->as_array(""))
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits.as_int(""))));
  for (uint32_t i = 0; i < 1u << 20; ++i) values.push_back(std::bit_cast<float>(i * 2654435761u));
  ASSERT_EQ(static_cast<int64_t>(values.size()), reference.find("count")->as_int(""));
  for (const auto& [name, digest] : reference.find("sha256")->as_object("")) {
    const FloatFormat& format = named(name.c_str());
    std::vector<uint8_t> codes;
    for (const float x : values) {
      const uint32_t code = encode(format, x);
      const uint32_t hashed = is_nan_code(format, code) ? 0xffff : code;
      codes.push_back(static_cast<uint8_t>(hashed & 0xff));
      codes.push_back(static_cast<uint8_t>(hashed >> 8));
    }
    EXPECT_EQ(sha256_hex(std::as_bytes(std::span(codes))), digest.as_string("")) << name;
  }
}

TEST(IntegerFormats, RoundAndSaturate) {
  EXPECT_EQ(largest_integer(8), 127);
  EXPECT_EQ(largest_integer(7), 63);
  EXPECT_EQ(largest_integer(4), 7);
  EXPECT_EQ(encode_integer(8, 0.25f, 0.1f),
            2);  // 2.5 in exact arithmetic is a little below: 0.1f is above 0.1
  EXPECT_EQ(encode_integer(8, 2.5f, 1), 2);
  EXPECT_EQ(encode_integer(8, 3.5f, 1), 4);
  EXPECT_EQ(encode_integer(8, -3.9f, 1, Rounding::kTowardZero), -3);
  EXPECT_EQ(encode_integer(4, 100, 1), 7);
  EXPECT_EQ(encode_integer(4, -100, 1), -7);
  EXPECT_EQ(encode_integer(7, kInfinite, 1), 63);
  EXPECT_EQ(encode_integer(7, std::nanf(""), 1), 0);
  int up = 0;
  Rng rng(4);
  for (int i = 0; i < 10000; ++i)
    up +=
        encode_integer(8, -2.25f, 1, Rounding::kStochastic, static_cast<uint32_t>(rng.bits())) == -2 ? 1 : 0;
  EXPECT_NEAR(up / 10000.0, 0.75, 0.02);
}

}  // namespace
}  // namespace penjing
