#pragma once

#include <cstdint>

namespace penjing {

// The one layout of activations inside the runtime: feature-major token panels.
//
// The tokens of a batch, packed end to end, are cut into panels of 64; the last panel is as wide as a
// multiple of 16 allows (its surplus lanes hold zeros or garbage that no other lane ever reads). A matrix of
// F features over T tokens is stored panel after panel:
//
//   panel p covers tokens [64 p, 64 p + width(p)); element (feature f, token t) is at
//   base + 64 p F + f * width(p) + (t - 64 p)
//
//            lane 0   lane 1  ...  lane width-1
//   f = 0    x[0,t0]  x[0,t1] ...
//   f = 1    x[1,t0]  ...
//
// Lanes are tokens. So every reduction over features (LayerNorm, a product's sum over k, min/max for
// quantizing) runs down a lane in a fixed order, with no horizontal step: a token's result cannot depend on
// the instruction set, the panel, its batch mates or the thread count. That is how bit-equality is had.
// Every row of a panel is 64-byte aligned for 4-byte elements (16 lanes).
inline constexpr int kPanelTokens = 64;
inline constexpr int kLaneTokens = 16;  // widths are multiples of this

struct PanelShape {
  int64_t num_tokens = 0;
  int64_t num_panels() const { return (num_tokens + kPanelTokens - 1) / kPanelTokens; }
  int width(int64_t panel) const {
    const int64_t left = num_tokens - panel * kPanelTokens;
    return left >= kPanelTokens ? kPanelTokens
                                : static_cast<int>((left + kLaneTokens - 1) / kLaneTokens * kLaneTokens);
  }
  int64_t padded_tokens() const {
    return num_tokens == 0 ? 0 : (num_panels() - 1) * kPanelTokens + width(num_panels() - 1);
  }
};

}  // namespace penjing
