#pragma once

#include "train/torch.h"

// Attention of one sequence, scores before softmax [heads, L, L], with fewer heads or of several layers at
// once. For a loss of probabilities the result is their logarithm (of which the softmax is the probability),
// else it is the mean of the scores themselves.
namespace penjing::distill {

// Means of consecutive groups of heads, `heads` of them.
at::Tensor mean_heads(const at::Tensor& scores, int64_t heads, bool probabilities);

// scores [layers, heads, L, L], weights [layers] that sum to 1.
at::Tensor mix_scores(const at::Tensor& scores, const at::Tensor& weights, bool probabilities);

}  // namespace penjing::distill
