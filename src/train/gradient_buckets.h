#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace penjing::train {

// Which gradients are sent together. The layout depends on the parameters' sizes alone, not on what a
// backward did: where an element lies in its bucket decides the order in which Gloo adds the ranks' values,
// and a resumed run must add in the same order.
struct GradientBucket {
  struct Slot {
    std::size_t parameter;
    int64_t begin, size;  // elements within the bucket
  };
  std::vector<Slot> slots;
  int64_t size = 0;  // elements, gaps included
};

// Parameters from the last to the first, as backward produces their gradients (heads, then layers from the
// top, then embeddings), in buckets of at least `bytes` (FP32), each slot on a cache line of its own. sizes:
// elements of each parameter; 0: it has no gradient to send.
std::vector<GradientBucket> lay_out_buckets(std::span<const int64_t> sizes, int64_t bytes);

}  // namespace penjing::train
