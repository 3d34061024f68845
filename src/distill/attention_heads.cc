#include "distill/attention_heads.h"

#include <cmath>

namespace penjing::distill {

at::Tensor mean_heads(const at::Tensor& scores, int64_t heads, bool probabilities) {
  const int64_t group = scores.size(0) / heads;
  if (group == 1) return scores;
  const at::Tensor groups = scores.view({heads, group, scores.size(1), scores.size(2)});
  if (!probabilities) return groups.mean({1});
  return at::logsumexp(at::log_softmax(groups, -1), {1}) - std::log(static_cast<double>(group));
}

at::Tensor mix_scores(const at::Tensor& scores, const at::Tensor& weights, bool probabilities) {
  const at::Tensor shares = weights.view({-1, 1, 1, 1});
  if (!probabilities) return (shares * scores).sum({0});
  return at::logsumexp(shares.log() + at::log_softmax(scores, -1), {0});
}

}  // namespace penjing::distill
