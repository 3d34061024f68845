#include "numerics/float_format.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace penjing {

namespace {

constexpr FloatFormat kFormats[] = {
    {"fp32", 8, 23, 127, true}, {"tf32", 8, 10, 127, true},   {"bf16", 8, 7, 127, true},
    {"fp16", 5, 10, 15, true},  {"fp8_e4m3", 4, 3, 7, false}, {"fp8_e5m2", 5, 2, 15, true},
};
constexpr int kFloatBias = 127, kFloatMantissa = 23;
constexpr uint32_t kFloatSign = 0x80000000, kFloatInfinity = 0x7f800000;

// The numbers of `whole` units of 2^-shift: whether the rest is rounded away from zero.
bool rounds_up(uint32_t significand, int shift, Rounding rounding, uint32_t random) {
  if (shift == 0 || rounding == Rounding::kTowardZero) return false;
  const uint64_t rest = shift < 32 ? significand & ((uint64_t{1} << shift) - 1) : significand;
  if (rounding == Rounding::kStochastic) {
    const uint64_t threshold = shift <= 32 ? rest << (32 - shift) : shift < 64 ? rest >> (shift - 32) : 0;
    return threshold > random;
  }
  if (shift > kFloatMantissa + 1) return false;  // less than half a unit
  const uint64_t half = uint64_t{1} << (shift - 1);
  const bool odd = ((significand >> shift) & 1) != 0;
  return rest > half || (rest == half && odd);
}

uint32_t nan_code(const FloatFormat& format, uint32_t payload) {
  const uint32_t exponent = ((uint32_t{1} << format.exponent_bits) - 1) << format.mantissa_bits;
  const uint32_t mantissa_mask = (uint32_t{1} << format.mantissa_bits) - 1;
  if (!format.has_infinity) return exponent | mantissa_mask;
  const uint32_t quiet = uint32_t{1} << (format.mantissa_bits - 1);
  return exponent | quiet | ((payload >> (kFloatMantissa - format.mantissa_bits)) & mantissa_mask);
}

uint32_t overflow_code(const FloatFormat& format, Overflow overflow) {
  if (overflow == Overflow::kSaturate) return format.largest_code();
  return format.has_infinity ? format.infinity_code() : nan_code(format, 0);
}

float from_bits(uint32_t bits) {
  return std::bit_cast<float>(bits);
}
uint32_t to_bits(float value) {
  return std::bit_cast<uint32_t>(value);
}

// Formats with FP32's exponents: the lower bits are rounded off where they are, subnormals included.
template <bool kNearest, bool kSaturate>
void round_wide(int dropped, const float* in, float* out, std::size_t count) {
  const uint32_t half = dropped > 0 ? (uint32_t{1} << (dropped - 1)) - 1 : 0;
  const uint32_t keep = ~((uint32_t{1} << dropped) - 1), odd_mask = dropped > 0 ? 1 : 0;
  const uint32_t largest = (kFloatInfinity - 1) & keep;
  const uint32_t quiet = uint32_t{1} << (kFloatMantissa - 1);
  for (std::size_t i = 0; i < count; ++i) {
    const uint32_t bits = to_bits(in[i]), sign = bits & kFloatSign, magnitude = bits & ~kFloatSign;
    uint32_t rounded = magnitude;
    if (kNearest) rounded += half + ((magnitude >> dropped) & odd_mask);
    rounded &= keep;
    if (kSaturate) rounded = std::min(rounded, largest);
    rounded = magnitude == kFloatInfinity && !kSaturate ? kFloatInfinity : rounded;
    const uint32_t nan = (magnitude & keep) | quiet;
    rounded = magnitude > kFloatInfinity ? nan : rounded;
    out[i] = from_bits(sign | rounded);
  }
}

// Formats of fewer exponents: adding and taking away 1.5 * 2^(23 + q) rounds to a multiple of 2^q, to
// nearest-even, for |x| < 2^(q + 22). q is the exponent of the spacing at x, so |x| < 2^(q + 11).
template <bool kNearest>
void round_narrow(const FloatFormat& format, float beyond, const float* in, float* out, std::size_t count) {
  const int mantissa = format.mantissa_bits;
  const auto least = static_cast<uint32_t>(format.min_exponent() + kFloatBias) << kFloatMantissa;
  const uint32_t to_magic = static_cast<uint32_t>(kFloatMantissa - mantissa) << kFloatMantissa;
  const uint32_t to_spacing = static_cast<uint32_t>(mantissa) << kFloatMantissa;
  constexpr uint32_t kHalfMantissa = 1u << (kFloatMantissa - 1);
  const auto largest = static_cast<float>(format.largest());
  // Beyond every number of the format and within what the sum above takes.
  const float cap = std::min(2 * largest, 0x1p100f);
  for (std::size_t i = 0; i < count; ++i) {
    const uint32_t bits = to_bits(in[i]), sign = bits & kFloatSign;
    const float whole = from_bits(bits & ~kFloatSign);
    const float magnitude = whole < cap ? whole : cap;
    const uint32_t exponent = to_bits(magnitude) & kFloatInfinity;
    const uint32_t base = exponent > least ? exponent : least;
    const float magic = from_bits((base + to_magic) | kHalfMantissa);
    float rounded = (magnitude + magic) - magic;
    if (!kNearest) {
      const float spacing = from_bits(base - to_spacing);
      rounded = rounded > magnitude ? rounded - spacing : rounded;
      rounded =
          rounded > largest ? (whole == std::numeric_limits<float>::infinity() ? beyond : largest) : rounded;
    } else {
      rounded = rounded > largest ? beyond : rounded;
    }
    rounded = whole != whole ? from_bits(kFloatInfinity | kHalfMantissa) : rounded;
    out[i] = from_bits(sign | (to_bits(rounded) & ~kFloatSign));
  }
}

}  // namespace

uint32_t FloatFormat::largest_code() const {
  const uint32_t top = uint32_t{1} << (exponent_bits + mantissa_bits);
  return has_infinity ? top - (uint32_t{1} << mantissa_bits) - 1 : top - 2;
}
uint32_t FloatFormat::infinity_code() const {
  return ((uint32_t{1} << exponent_bits) - 1) << mantissa_bits;
}
double FloatFormat::largest() const {
  return double{decode(*this, largest_code())};
}
double FloatFormat::smallest_normal() const {
  return std::ldexp(1.0, min_exponent());
}
double FloatFormat::smallest_subnormal() const {
  return std::ldexp(1.0, min_exponent() - mantissa_bits);
}
double FloatFormat::epsilon() const {
  return std::ldexp(1.0, -mantissa_bits);
}
double FloatFormat::exact_integers() const {
  return std::min(std::ldexp(1.0, mantissa_bits + 1), largest());
}
double FloatFormat::spacing(double x) const {
  const int exponent = x == 0 ? min_exponent() : std::max(std::ilogb(x), min_exponent());
  return std::ldexp(1.0, exponent - mantissa_bits);
}
double FloatFormat::error_bound(double x, Rounding rounding) const {
  return rounding == Rounding::kNearestEven ? spacing(x) / 2 : spacing(x);
}

std::span<const FloatFormat> float_formats() {
  return kFormats;
}

const FloatFormat* find_float_format(std::string_view name) {
  for (const FloatFormat& format : kFormats) {
    if (name == format.name) return &format;
  }
  return nullptr;
}

uint32_t encode(const FloatFormat& format, float value, Rounding rounding, Overflow overflow,
                uint32_t random) {
  const uint32_t bits = to_bits(value), magnitude = bits & ~kFloatSign;
  const uint32_t sign = (bits & kFloatSign) != 0 ? format.sign_mask() : 0;
  if (magnitude > kFloatInfinity) return sign | nan_code(format, magnitude & ((1u << kFloatMantissa) - 1));
  if (magnitude == kFloatInfinity) return sign | overflow_code(format, overflow);
  const auto field = static_cast<int>(magnitude >> kFloatMantissa);
  const int exponent = std::max(field, 1) - kFloatBias;
  const uint32_t significand =
      (magnitude & ((1u << kFloatMantissa) - 1)) | (field > 0 ? 1u << kFloatMantissa : 0);
  // value = significand 2^(exponent - 23) = units 2^(base - M), rounded.
  const int base = std::max(exponent, format.min_exponent());
  const int shift = kFloatMantissa - format.mantissa_bits + base - exponent;
  uint32_t units = shift < 32 ? significand >> shift : 0;
  if (rounds_up(significand, shift, rounding, random)) ++units;
  const uint32_t code = (static_cast<uint32_t>(base - format.min_exponent()) << format.mantissa_bits) + units;
  if (code <= format.largest_code()) return sign | code;
  return sign | (rounding == Rounding::kTowardZero ? format.largest_code() : overflow_code(format, overflow));
}

float decode(const FloatFormat& format, uint32_t code) {
  const uint32_t sign = (code & format.sign_mask()) != 0 ? kFloatSign : 0;
  const uint32_t magnitude = code & (format.sign_mask() - 1);
  if (is_nan_code(format, code)) {
    const uint32_t payload = magnitude & ((1u << format.mantissa_bits) - 1);
    return from_bits(sign | kFloatInfinity | (1u << (kFloatMantissa - 1)) |
                     (payload << (kFloatMantissa - format.mantissa_bits)));
  }
  if (magnitude > format.largest_code()) return from_bits(sign | kFloatInfinity);
  const auto field = static_cast<int>(magnitude >> format.mantissa_bits);
  const uint32_t mantissa = magnitude & ((1u << format.mantissa_bits) - 1);
  const uint32_t units = mantissa + (field > 0 ? 1u << format.mantissa_bits : 0);
  const float value = std::ldexp(static_cast<float>(units),
                                 std::max(field, 1) - format.bias - format.mantissa_bits);  // exact
  return from_bits(to_bits(value) | sign);
}

bool is_nan_code(const FloatFormat& format, uint32_t code) {
  const uint32_t magnitude = code & (format.sign_mask() - 1);
  return format.has_infinity ? magnitude > format.infinity_code() : magnitude > format.largest_code();
}

float next_above(const FloatFormat& format, uint32_t code) {
  const bool negative = (code & format.sign_mask()) != 0;
  const uint32_t magnitude = code & (format.sign_mask() - 1);
  if (negative && magnitude > 0) return decode(format, format.sign_mask() | (magnitude - 1));
  return decode(format, magnitude + 1);
}

float next_below(const FloatFormat& format, uint32_t code) {
  return -next_above(format, code ^ format.sign_mask());
}

void round_floats(const FloatFormat& format, Rounding rounding, Overflow overflow, std::span<const float> in,
                  std::span<float> out) {
  const bool nearest = rounding == Rounding::kNearestEven, saturate = overflow == Overflow::kSaturate;
  if (format.exponent_bits == 8) {
    const int dropped = kFloatMantissa - format.mantissa_bits;
    const auto round = nearest ? (saturate ? round_wide<true, true> : round_wide<true, false>)
                               : (saturate ? round_wide<false, true> : round_wide<false, false>);
    round(dropped, in.data(), out.data(), in.size());
    return;
  }
  const float beyond = decode(format, overflow_code(format, overflow));
  if (nearest) {
    round_narrow<true>(format, beyond, in.data(), out.data(), in.size());
  } else {
    round_narrow<false>(format, beyond, in.data(), out.data(), in.size());
  }
}

int32_t largest_integer(int bits) {
  return (int32_t{1} << (bits - 1)) - 1;
}

int32_t encode_integer(int bits, float value, float scale, Rounding rounding, uint32_t random) {
  const double exact = double{value} / double{scale}, limit = largest_integer(bits);
  if (std::isnan(exact)) return 0;
  double whole = std::trunc(exact);
  if (rounding == Rounding::kNearestEven) {
    whole = std::nearbyint(exact);
  } else if (rounding == Rounding::kStochastic) {
    const double below = std::floor(exact);
    whole = below + (exact - below > random * 0x1p-32 ? 1 : 0);
  }
  return static_cast<int32_t>(std::clamp(whole, -limit, limit));
}

}  // namespace penjing
