#pragma once

#include <cstdint>

#include "base/aligned.h"
#include "kernels/normalize/normalize.h"
#include "model/model.h"

namespace penjing {

// A normalisation with its parameters: "<name>.weight" and, where the spec says so, "<name>.bias".
struct PackedNorm {
  void (*kernel)(const normalize::Args& args) = nullptr;
  AlignedBuffer<float> gamma, beta;
  int64_t features = 0;
  float epsilon = 0;

  // One panel [features][width]; y may alias x.
  void run(const float* x, float* y, int width) const {
    kernel({.x = x,
            .gamma = gamma.data(),
            .beta = beta.data(),
            .y = y,
            .features = features,
            .width = width,
            .epsilon = epsilon});
  }
};

PackedNorm pack_norm(const Model& model, const NormSpec& spec);

// y = x / max(|x|_2, 1e-12) for each token of one panel, the squares summed in the order of the features
// (torch.nn.functional.normalize). y may alias x.
void normalize_l2(const float* x, float* y, int64_t features, int width);

}  // namespace penjing
