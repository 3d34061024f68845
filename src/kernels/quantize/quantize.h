#pragma once

#include <cstdint>

#include "kernels/cpu.h"

namespace penjing::quantize {

// Dynamic per-token quantization of one panel x [features][width] to codes [K4][width] u8 (K4 = features
// rounded up to 4, surplus rows set to 0), with numerics/quantizer.h's arithmetic, bit for bit:
//   affine     kUint8 with zero point
//   symmetric  kInt8 codes plus 128; zero_point = 128
// A lane with a non-finite element gets scale NaN, so that the result is not finite and is noticed.
struct Args {
  const float* x;
  uint8_t* codes;
  float* scale;         // [width]
  int32_t* zero_point;  // [width]
  int64_t features;
  int width;
};

struct Kernel {
  Isa isa;
  void (*affine)(const Args& args);
  void (*symmetric)(const Args& args);
};

const Kernel& select();
const Kernel* find(Isa isa);

}  // namespace penjing::quantize
