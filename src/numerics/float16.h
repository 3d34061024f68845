#pragma once

#include <bit>
#include <cstdint>

namespace penjing {

// Layouts: fp16 is 1 sign, 5 exponent (bias 15), 10 mantissa bits; bf16 the upper half of fp32.
// Conversions round to nearest, ties to even; NaN stays NaN (quiet, sign and upper payload kept),
// infinities stay, fp16 overflow (|x| >= 65520) becomes infinity, subnormals are exact.
uint16_t float_to_half(float value);
float half_to_float(uint16_t half);
uint16_t float_to_bfloat16(float value);

inline float bfloat16_to_float(uint16_t value) {
  return std::bit_cast<float>(uint32_t{value} << 16);
}

}  // namespace penjing
