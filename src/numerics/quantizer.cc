#include "numerics/quantizer.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace penjing {

namespace {

// Round to nearest, ties to even, of a value already clamped to a small range.
int32_t round_even(float x) {
  return static_cast<int32_t>(std::nearbyint(x));
}

// A scale that FP32 can invert without overflow or loss.
bool is_usable(float scale, float inverse) {
  return std::isnormal(scale) && std::isnormal(inverse);
}

}  // namespace

QuantParams affine_params(float lo, float hi, IntegerRange range) {
  lo = std::min(lo, 0.0f);
  hi = std::max(hi, 0.0f);
  QuantParams params;
  params.zero_point = std::clamp(0, range.min, range.max);
  const float scale = (hi - lo) / static_cast<float>(range.max - range.min);
  const float inverse = 1.0f / scale;
  if (!is_usable(scale, inverse)) return params;
  params.scale = scale;
  params.inverse = inverse;
  const auto min = static_cast<float>(range.min), max = static_cast<float>(range.max);
  params.zero_point = round_even(std::clamp(min - std::nearbyint(lo * inverse), min, max));
  return params;
}

QuantParams symmetric_params(float max_abs, IntegerRange range) {
  QuantParams params;
  const float scale = max_abs / static_cast<float>(range.max);
  const float inverse = 1.0f / scale;
  if (!is_usable(scale, inverse)) return params;
  params.scale = scale;
  params.inverse = inverse;
  return params;
}

int32_t quantize_value(float x, const QuantParams& params, IntegerRange range) {
  const auto zero = static_cast<float>(params.zero_point);
  const auto min = static_cast<float>(range.min), max = static_cast<float>(range.max);
  const float code = std::nearbyint(x * params.inverse) + zero;
  // Clamped as a float, so that no conversion can overflow. With the comparisons in this order (unlike
  // std::clamp's) a NaN gives range.min, not an undefined conversion; callers refuse NaN before.
  return round_even(code > min ? (code < max ? code : max) : min);
}

void quantize_rows_symmetric(std::span<const float> weight, int64_t rows, int64_t columns, IntegerRange range,
                             std::span<int8_t> codes, std::span<float> scales) {
  assert(static_cast<int64_t>(weight.size()) == rows * columns);
  for (int64_t row = 0; row < rows; ++row) {
    const float* x = weight.data() + row * columns;
    float max_abs = 0;
    for (int64_t i = 0; i < columns; ++i) max_abs = std::max(max_abs, std::fabs(x[i]));
    const QuantParams params = symmetric_params(max_abs, range);
    for (int64_t i = 0; i < columns; ++i) {
      codes[static_cast<std::size_t>(row * columns + i)] =
          static_cast<int8_t>(quantize_value(x[i], params, range));
    }
    scales[static_cast<std::size_t>(row)] = params.scale;
  }
}

}  // namespace penjing
