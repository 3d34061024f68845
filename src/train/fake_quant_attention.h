#pragma once

#include <vector>

#include "train/ops.h"

namespace penjing::train {

// attention() with the roundings of kernels/attention_i8: queries and keys with a scale a token and head,
// values with one a feature over the sequence, all symmetric. Probabilities stay in FP32, which the dropout
// wants. The gradient passes through the rounding. Rows on the CPU.
at::Tensor attention_in_integers(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const std::vector<int64_t>& offsets, const std::vector<int64_t>& samples,
                                 const AttentionShape& shape, const at::Tensor& bias,
                                 const DropoutSite& dropout, AttentionScores* scores);

}  // namespace penjing::train
