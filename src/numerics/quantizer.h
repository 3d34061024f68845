#pragma once

#include <cstdint>
#include <span>

namespace penjing {

// The one quantizer (docs/decisions.md): runtime, post-training and quantization-aware training use this
// arithmetic and no other. All expressions are FP32, rounded once an operation, no FMA:
//
//   affine:     lo = min(0, min x), hi = max(0, max x)           (the range contains 0, so 0 is exact)
//               scale = (hi - lo) / (q_max - q_min), inverse = 1 / scale
//               zero_point = clamp(q_min - round_even(lo * inverse), q_min, q_max)
//               q = clamp(round_even(x * inverse) + zero_point, q_min, q_max)
//   symmetric:  scale = max|x| / q_max, inverse = 1 / scale, q = clamp(round_even(x * inverse), q_min, q_max)
//   value:      x^ = scale * (q - zero_point)
//
// A range that is zero, or whose scale or inverse is not a normal number (about below 1e-36 or above 8e37),
// gets scale 1, inverse 1 and zero_point = 0 clamped into the codes: x = 0 still becomes exactly 0.
// NaN input is the caller's to refuse (checks name the tensor).
struct IntegerRange {
  int32_t min, max;
};
inline constexpr IntegerRange kUint8{0, 255}, kInt8{-127, 127}, kInt7{-63, 63}, kInt4{-7, 7}, kUint7{0, 127};

struct QuantParams {
  float scale = 1, inverse = 1;
  int32_t zero_point = 0;
};

QuantParams affine_params(float lo, float hi, IntegerRange range);  // widens [lo, hi] to contain 0
QuantParams symmetric_params(float max_abs, IntegerRange range);    // zero_point 0
int32_t quantize_value(float x, const QuantParams& params, IntegerRange range);
inline float dequantize_value(int32_t q, const QuantParams& params) {
  return params.scale * static_cast<float>(q - params.zero_point);
}

// Symmetric INT8 by row: weight [rows, columns] row-major -> codes [rows, columns], scales [rows].
void quantize_rows_symmetric(std::span<const float> weight, int64_t rows, int64_t columns, IntegerRange range,
                             std::span<int8_t> codes, std::span<float> scales);

}  // namespace penjing
