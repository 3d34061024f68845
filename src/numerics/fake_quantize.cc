#include "numerics/fake_quantize.h"

namespace penjing {

void fake_quantize(std::span<const float> x, const QuantParams& params, IntegerRange range,
                   std::span<float> out) {
  // Codes less the zero point, clamped before they are rounded: the bounds are integers, so it is the same.
  const auto low = static_cast<float>(range.min - params.zero_point);
  const auto high = static_cast<float>(range.max - params.zero_point);
  // Adding and taking away 1.5 * 2^23 rounds to an integer, to nearest-even, for |v| <= 2^22.
  constexpr float kMagic = 0x1.8p23f;
  const float scale = params.scale, inverse = params.inverse;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float value = x[i], code = value * inverse;
    const float clamped = code > low ? (code < high ? code : high) : low;
    const float result = scale * ((clamped + kMagic) - kMagic);
    out[i] = value != value ? value : result;
  }
}

}  // namespace penjing
