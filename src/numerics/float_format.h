#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace penjing {

// How a number between two of a format's values is decided.
enum class Rounding {
  kNearestEven,
  kTowardZero,
  kStochastic,  // up with the probability of the distance from below (Gupta et al. 2015), from given bits
};

// What becomes of a number beyond the largest. Rounding toward zero never leaves the finite ones (IEEE 754).
enum class Overflow {
  kInfinity,  // infinity; NaN in a format without it (OCP OFP8, "non-saturating")
  kSaturate,  // the largest finite value, for infinities too
};

// A binary floating-point format of at most 32 bits: sign, exponent, mantissa from the top bit down.
//   exponent field 0:        (-1)^s 2^(1 - bias) (m / 2^M)
//   others:                  (-1)^s 2^(e - bias) (1 + m / 2^M)
//   all ones:                infinity (m = 0) and NaN; without has_infinity numbers too, but for m all ones:
//   NaN
// (IEEE 754-2019, 3.4; OCP 8-bit Floating Point Specification 1.0). Every value of each is an FP32 value.
struct FloatFormat {
  const char* name;
  int exponent_bits, mantissa_bits, bias;
  bool has_infinity;

  int bits() const { return 1 + exponent_bits + mantissa_bits; }
  uint32_t sign_mask() const { return uint32_t{1} << (exponent_bits + mantissa_bits); }
  uint32_t largest_code() const;   // of the largest finite value
  uint32_t infinity_code() const;  // only with has_infinity
  int min_exponent() const { return 1 - bias; }
  double largest() const;
  double smallest_normal() const;
  double smallest_subnormal() const;
  double epsilon() const;         // 2^-M: the spacing at 1
  double exact_integers() const;  // all integers up to this are values: 2^(M + 1), or the largest value
  // Distance of the values next to x, on the side away from zero where it changes; for |x| up to largest().
  double spacing(double x) const;
  // Of rounding x: at most half a spacing to nearest, less than one otherwise.
  double error_bound(double x, Rounding rounding) const;
};

// fp32, tf32, bf16, fp16, fp8_e4m3, fp8_e5m2.
std::span<const FloatFormat> float_formats();
const FloatFormat* find_float_format(std::string_view name);

// The code of `value` rounded to the format. NaN stays a quiet NaN of its sign, with the upper bits of its
// payload where the format has room. `random`: 32 uniform bits, for kStochastic; the probability is exact to
// 2^-32.
uint32_t encode(const FloatFormat& format, float value, Rounding rounding = Rounding::kNearestEven,
                Overflow overflow = Overflow::kInfinity, uint32_t random = 0);
float decode(const FloatFormat& format, uint32_t code);
bool is_nan_code(const FloatFormat& format, uint32_t code);

// The next value above and below a finite value of the format; infinity, or NaN without it, beyond the
// largest.
float next_above(const FloatFormat& format, uint32_t code);
float next_below(const FloatFormat& format, uint32_t code);

// decode(encode(x)) of each x, to nearest-even or toward zero, without branches, so that compilers make
// vector code of it on any instruction set; equal to the plain form for all 2^32 inputs
// (tools/exhaustive_numerics.cc). kStochastic is not offered here. `out` may be `in`.
void round_floats(const FloatFormat& format, Rounding rounding, Overflow overflow, std::span<const float> in,
                  std::span<float> out);

// Symmetric integers of `bits` bits with a scale: q = round(x / scale) within +-(2^(bits - 1) - 1); x = q
// scale.
int32_t encode_integer(int bits, float value, float scale, Rounding rounding = Rounding::kNearestEven,
                       uint32_t random = 0);
int32_t largest_integer(int bits);

}  // namespace penjing
