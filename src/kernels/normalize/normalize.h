#pragma once

#include <cstdint>

#include "kernels/cpu.h"

namespace penjing::normalize {

// Over the features of each token of one panel [features][width]; y may alias x.
// layer_norm: mean, then variance of the differences (two passes), y = (x - mean) * (1 / sqrt(var + eps)) *
// gamma + beta. Sums: four partial sums over f mod 4, combined (s0 + s1) + (s2 + s3): fixed everywhere.
// rms_norm: y = x / sqrt(mean(x^2) + eps) * gamma.   affine: y = x * gamma + beta.
// beta may be null. IEEE division and square root only.
struct Args {
  const float* x;
  const float* gamma;
  const float* beta;
  float* y;
  int64_t features;
  int width;
  float epsilon;
};

struct Kernel {
  Isa isa;
  void (*layer_norm)(const Args& args);
  void (*rms_norm)(const Args& args);
  void (*affine)(const Args& args);
};

const Kernel& select();
const Kernel* find(Isa isa);

}  // namespace penjing::normalize
