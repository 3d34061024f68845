#pragma once

#include <span>

#include "numerics/quantizer.h"

namespace penjing {

// dequantize_value(quantize_value(x)) of each x, without branches, so that compilers make vector code of it:
// the same numbers, but a NaN stays one. `out` may be `x`.
void fake_quantize(std::span<const float> x, const QuantParams& params, IntegerRange range,
                   std::span<float> out);

}  // namespace penjing
