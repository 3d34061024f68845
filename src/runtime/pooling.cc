#include "runtime/pooling.h"

#include <algorithm>
#include <cmath>

#include "runtime/panel_rows.h"

namespace penjing {
namespace {

// Calls visit(place, lanes, width) for the tokens [first, length) of the sequence in order; feature f of the
// token is lanes[f * width].
template <typename Visit>
void visit_tokens(const float* panels, PanelShape shape, int64_t features, int64_t begin, int64_t first,
                  int64_t length, const Visit& visit) {
  for (int64_t i = first; i < length; ++i) {
    const int64_t token = begin + i;
    visit(i, panels + token_offset(token, features), int64_t{shape.width(token / kPanelTokens)});
  }
}

// Features go eight at a time: eight independent chains hide the latency of the additions.
constexpr int64_t kFeatures = 8;

}  // namespace

void pool_sequence(const PoolingSpec& spec, const float* panels, PanelShape shape, int64_t features,
                   int64_t begin, int64_t length, int64_t skip, float* target, int64_t stride) {
  skip = std::clamp<int64_t>(skip, 0, length);
  const auto copy = [&](int64_t place) {
    const int64_t token = begin + place;
    const float* lanes = panels + token_offset(token, features);
    const int64_t width = shape.width(token / kPanelTokens);
    for (int64_t f = 0; f < features; ++f) target[f * stride] = lanes[f * width];
  };
  const float count = static_cast<float>(length - skip);
  float weights = 0;
  for (int64_t i = skip; i < length; ++i) weights += static_cast<float>(i + 1);
  for (const PoolingMode mode : spec.modes) {
    if (mode == PoolingMode::kCls) {
      copy(0);
    } else if (mode == PoolingMode::kLastToken) {
      copy(length - 1);
    } else {
      for (int64_t f0 = 0; f0 < features; f0 += kFeatures) {
        const int64_t n = std::min(kFeatures, features - f0);
        float value[kFeatures] = {};
        visit_tokens(panels, shape, features, begin, skip, length,
                     [&](int64_t i, const float* lanes, int64_t width) {
                       for (int64_t f = 0; f < n; ++f) {
                         const float x = lanes[(f0 + f) * width];
                         if (mode == PoolingMode::kMax) {
                           value[f] = i == skip || x > value[f] || std::isnan(x) ? x : value[f];
                         } else if (mode == PoolingMode::kWeightedMean) {
                           value[f] += x * static_cast<float>(i + 1);
                         } else {
                           value[f] += x;
                         }
                       }
                     });
        for (int64_t f = 0; f < n && skip < length; ++f) {
          if (mode == PoolingMode::kMean) value[f] /= count;
          if (mode == PoolingMode::kMeanSqrtLen) value[f] /= std::sqrt(count);
          if (mode == PoolingMode::kWeightedMean) value[f] /= weights;
        }
        for (int64_t f = 0; f < n; ++f) target[(f0 + f) * stride] = value[f];
      }
    }
    target += features * stride;
  }
}

}  // namespace penjing
