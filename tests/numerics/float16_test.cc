#include "numerics/float16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace penjing {
namespace {

// The value of a half by its definition.
double value_of_half(uint16_t half) {
  const int exponent = half >> 10 & 31, mantissa = half & 1023;
  const double sign = (half & 0x8000) != 0 ? -1 : 1;
  if (exponent == 31) return mantissa == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

// Nearest of a format of `precision` significant bits whose smallest step is 2^least, ties to even, in
// doubles.
double round_to(double x, int precision, int least, double limit) {
  if (x == 0 || !std::isfinite(x)) return x;
  int exponent = 0;
  (void)std::frexp(x, &exponent);
  const int step = std::max(exponent - precision, least);
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(x, -step)), step);
  return std::abs(rounded) >= limit ? std::copysign(std::numeric_limits<double>::infinity(), x) : rounded;
}

TEST(Float16, EveryHalfHasItsValue) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto half = static_cast<uint16_t>(i);
    const double wanted = value_of_half(half);
    const float found = half_to_float(half);
    if (std::isnan(wanted)) {
      ASSERT_TRUE(std::isnan(found)) << i;
      ASSERT_EQ(float_to_half(found), half | 0x200) << i;  // quiet, payload kept
      continue;
    }
    ASSERT_EQ(static_cast<double>(found), wanted) << i;
    ASSERT_EQ(std::signbit(found), i >= 32768) << i;
    ASSERT_EQ(float_to_half(found), half) << i;
  }
}

TEST(Float16, EveryBfloat16HasItsValue) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto value = static_cast<uint16_t>(i);
    const float found = bfloat16_to_float(value);
    if (std::isnan(found)) {
      ASSERT_EQ(float_to_bfloat16(found), value | 0x40) << i;
    } else {
      ASSERT_EQ(float_to_bfloat16(found), value) << i;
    }
  }
}

// One float in 4,099 of all 2^32, and both neighbours of every half's and bfloat16's midpoint;
// tools/exhaustive_numerics.cc does them all.
TEST(Float16, FloatsRoundToNearestEven) {
  const auto check = [](uint32_t bits) {
    const float x = std::bit_cast<float>(bits);
    const uint16_t half = float_to_half(x), brain = float_to_bfloat16(x);
    if (std::isnan(x)) {
      ASSERT_TRUE(std::isnan(half_to_float(half))) << bits;
      ASSERT_TRUE(std::isnan(bfloat16_to_float(brain))) << bits;
      return;
    }
    ASSERT_EQ(static_cast<double>(half_to_float(half)), round_to(x, 11, -24, 65536)) << bits;
    ASSERT_EQ(half >> 15, bits >> 31) << bits;
    ASSERT_EQ(static_cast<double>(bfloat16_to_float(brain)), round_to(x, 8, -133, std::ldexp(1.0, 128)))
        << bits;
    ASSERT_EQ(brain >> 15, bits >> 31) << bits;
  };
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 4099) check(static_cast<uint32_t>(bits));
  for (uint32_t i = 0; i < 65536; ++i) {
    const uint32_t middle = i << 16 | 0x8000;
    for (const uint32_t bits : {middle - 1, middle, middle + 1}) check(bits);
    if ((i & 0x7fff) >= 0x7bff) continue;
    const auto below = half_to_float(static_cast<uint16_t>(i)),
               above = half_to_float(static_cast<uint16_t>(i + 1));
    const auto between = std::bit_cast<uint32_t>((below + above) / 2);
    for (const uint32_t bits : {between - 1, between, between + 1}) check(bits);
  }
}

#if defined(__x86_64__)
__attribute__((target("f16c"))) uint16_t half_by_instruction(float x) {
  return static_cast<uint16_t>(_mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT), 0));
}

__attribute__((target("f16c"))) float float_by_instruction(uint16_t half) {
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
}

// Bit for bit what the CPU does, NaN payloads as well: kernels use its instruction, everything else ours.
TEST(Float16, AgreesWithTheInstruction) {
  if (!__builtin_cpu_supports("f16c")) GTEST_SKIP() << "this CPU has no F16C";
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 1021) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(bits));
    ASSERT_EQ(float_to_half(x), half_by_instruction(x)) << bits;
  }
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto half = static_cast<uint16_t>(i);
    ASSERT_EQ(std::bit_cast<uint32_t>(half_to_float(half)),
              std::bit_cast<uint32_t>(float_by_instruction(half)))
        << i;
  }
}
#endif

}  // namespace
}  // namespace penjing
