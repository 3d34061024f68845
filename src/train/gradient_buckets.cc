#include "train/gradient_buckets.h"

namespace penjing::train {

std::vector<GradientBucket> lay_out_buckets(std::span<const int64_t> sizes, int64_t bytes) {
  constexpr int64_t kLine = 64 / sizeof(float);
  std::vector<GradientBucket> buckets;
  bool full = true;
  for (std::size_t i = sizes.size(); i-- > 0;) {
    if (sizes[i] == 0) continue;
    if (full) buckets.emplace_back();
    GradientBucket& bucket = buckets.back();
    bucket.slots.push_back({i, bucket.size, sizes[i]});
    bucket.size += (sizes[i] + kLine - 1) / kLine * kLine;
    full = bucket.size * static_cast<int64_t>(sizeof(float)) >= bytes;
  }
  return buckets;
}

}  // namespace penjing::train
