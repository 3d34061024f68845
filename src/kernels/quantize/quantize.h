#pragma once

#include <cstdint>

#include "kernels/cpu.h"

namespace penjing::quantize {

// Quantization of one panel x [features][width] to u8 codes, with numerics/quantizer.h's arithmetic, bit for
// bit, on x' = x * multiplier[f] (one IEEE product; x itself without multiplier). The codes are stored in
// quads, [ceil(features / 4)][width][4]: the four codes of features 4 q .. 4 q + 3 of a token side by side,
// which is what an 8-bit dot product reads; those of absent features are 0. With `rows` they are stored as x
// is, [features][width].
//   affine     the range of each token, codes [0, largest] with a zero point
//   symmetric  the largest |x'| of each token, codes [-largest, largest] plus largest + 1, which is the zero
//   point fixed      q = clamp(round_even(x' * inverse) + zero, lowest, largest): a range found beforehand
// A lane with a non-finite element gets scale NaN, so that the result is not finite and is noticed.
struct Args {
  const float* x;
  const float* multiplier;  // [features] or null
  uint8_t* codes;
  float* scale;         // [width]
  int32_t* zero_point;  // [width]
  int64_t features;
  int width;
  bool rows = false;
  int32_t largest;           // affine, fixed: 255 or 127; symmetric: 127 or 63
  float fixed_scale = 1;     // fixed only, from here
  float fixed_inverse = 1;   //
  int32_t fixed_zero = 0;    //
  int32_t fixed_lowest = 0;  //
};

struct Kernel {
  Isa isa;
  void (*affine)(const Args& args);
  void (*symmetric)(const Args& args);
  void (*fixed)(const Args& args);
};

const Kernel& select();
const Kernel* find(Isa isa);

}  // namespace penjing::quantize
