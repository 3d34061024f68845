#include "runtime/panel_rows.h"

#include <algorithm>
#include <cstring>

namespace penjing {

void panels_to_rows(const float* panels, PanelShape shape, int64_t features, int64_t begin, int64_t end,
                    float* rows) {
  // Blocks of 16 features, so that a row is written a cache line at a time.
  for (int64_t token = begin; token < end;) {
    const int64_t panel = token / kPanelTokens;
    const int64_t stop = std::min(end, (panel + 1) * kPanelTokens);
    const int width = shape.width(panel);
    const float* lanes = panels + token_offset(token, features);
    float* target = rows + (token - begin) * features;
    for (int64_t f0 = 0; f0 < features; f0 += 16) {
      const int64_t f1 = std::min(features, f0 + 16);
      for (int64_t t = 0; t < stop - token; ++t) {
        for (int64_t f = f0; f < f1; ++f) target[t * features + f] = lanes[f * width + t];
      }
    }
    token = stop;
  }
}

void gather_tokens(const float* source, PanelShape source_shape, int64_t features, const int64_t* tokens,
                   int64_t num_tokens, float* target) {
  const PanelShape shape{num_tokens};
  for (int64_t i = 0; i < num_tokens; ++i) {
    const int source_width = source_shape.width(tokens[i] / kPanelTokens);
    const int width = shape.width(i / kPanelTokens);
    const float* from = source + token_offset(tokens[i], features);
    float* to = target + token_offset(i, features);
    for (int64_t f = 0; f < features; ++f) to[f * width] = from[f * source_width];
  }
  clear_surplus_lanes(target, shape, features);
}

void clear_surplus_lanes(float* panels, PanelShape shape, int64_t features) {
  if (shape.num_tokens == shape.padded_tokens()) return;
  const int64_t panel = shape.num_panels() - 1;
  const int width = shape.width(panel);
  const int64_t used = shape.num_tokens - panel * kPanelTokens;
  float* base = panels + panel * kPanelTokens * features;
  for (int64_t f = 0; f < features; ++f) std::fill(base + f * width + used, base + (f + 1) * width, 0.0f);
}

void rows_to_lanes(const float* rows, int64_t row_stride, int64_t features, float* lanes, int width) {
  for (int64_t f = 0; f < features; ++f) {
    for (int64_t t = 0; t < kLaneTokens; ++t) lanes[f * width + t] = rows[t * row_stride + f];
  }
}

}  // namespace penjing
