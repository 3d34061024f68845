#pragma once

#include <vector>

#include "train/ops.h"

namespace penjing::train {

// attention() as the runtime computes it in 8-bit integers (kernels/attention_i8): queries and keys with a
// scale a token and head, values with one a feature over the sequence, all symmetric; probabilities as codes
// in units of 1 / 255 of the largest. The gradient passes through the rounding; probabilities are rounded
// only where no gradient is wanted (in training they are what the dropout has left of them, in FP32). Rows
// on the CPU.
at::Tensor attention_in_integers(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const std::vector<int64_t>& offsets, const std::vector<int64_t>& samples,
                                 const AttentionShape& shape, const DropoutSite& dropout,
                                 AttentionScores* scores);

}  // namespace penjing::train
