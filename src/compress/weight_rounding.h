#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "numerics/quantizer.h"

namespace penjing {

// Integer codes of a weight matrix [out, in] with one scale for each row, for each group of `group_size`
// columns of a row, or for the whole: w^ = scale * code.
struct RoundedWeight {
  std::vector<int8_t> codes;  // [out, in]
  std::vector<float> scales;  // [out, groups]
  int64_t groups = 1;
};

enum class Granularity { kTensor, kChannel, kGroup };

struct RoundingRule {
  IntegerRange range = kInt8;
  Granularity granularity = Granularity::kChannel;
  int64_t group_size = 0;     // kGroup: divides `in`
  bool search_scale = false;  // the clipping with the least squared error instead of the extremes
};

// Each weight to its nearest code.
RoundedWeight round_to_nearest(std::span<const float> weight, int64_t out, int64_t in,
                               const RoundingRule& rule);

// Column by column, each column's error carried over to those that are not rounded yet so that X W^T changes
// least (Frantar et al. 2022, "GPTQ", algorithm 1). second_moment: X^T X [in, in]; it is damped by 1 % of its
// mean diagonal. Columns that are always zero are rounded to nearest. Not for kTensor. Throws kFormat when
// the moment is not positive definite even so.
RoundedWeight round_with_feedback(std::span<const float> weight, int64_t out, int64_t in,
                                  const RoundingRule& rule, std::span<const float> second_moment);

// scale * code, [out, in].
std::vector<float> expand(const RoundedWeight& rounded, int64_t out, int64_t in);

}  // namespace penjing
