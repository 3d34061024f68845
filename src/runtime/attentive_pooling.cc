#include "runtime/attentive_pooling.h"

#include <algorithm>

#include "runtime/panel_rows.h"

namespace penjing {

void pool_attended(const float* panels, PanelShape shape, int64_t features, const TokenRun& run,
                   const float* scores, float* into) {
  constexpr int64_t kStep = 16;  // the kernels' sizes are multiples of it
  AlignedBuffer<float> weights(static_cast<std::size_t>((run.length + kStep - 1) / kStep * kStep));
  const float highest = *std::max_element(scores, scores + run.length);
  for (int64_t t = 0; t < run.length; ++t) weights.data()[t] = scores[t] - highest;
  pointwise::select().exp(weights.data(), static_cast<int64_t>(weights.size()));
  float sum = 0;
  for (int64_t t = 0; t < run.length; ++t) sum += weights.data()[t];
  std::fill_n(into, features, 0.0f);
  for (int64_t t = 0; t < run.length; ++t) {
    const int64_t token = run.begin + t;
    const float* lanes = panels + token_offset(token, features);
    const int64_t width = shape.width(token / kPanelTokens);
    const float weight = weights.data()[t] / sum;
    for (int64_t f = 0; f < features; ++f) into[f] += weight * lanes[f * width];
  }
}

}  // namespace penjing
