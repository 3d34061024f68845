// Losses that rank a right answer above wrong ones: multiple negatives, triplet.
#include <limits>

#include "base/error.h"
#include "train/losses.h"

namespace penjing::train {

at::Tensor unit_rows(const at::Tensor& rows) {
  return rows / rows.norm(2, {1}, true).clamp_min(1e-12);
}

at::Tensor multiple_negatives(const at::Tensor& anchors, const at::Tensor& candidates,
                              const MultipleNegativesOptions& options) {
  const int64_t n = anchors.size(0);
  if (candidates.size(0) < n)
    fail(ErrorKind::kInternal, "{} anchors with {} candidates", n, candidates.size(0));
  at::Tensor scores = at::mm(unit_rows(anchors), unit_rows(candidates).t()) * options.scale;
  if (options.excluded.defined())
    scores = scores.masked_fill(options.excluded, -std::numeric_limits<double>::infinity());
  const at::Tensor right = at::arange(n, at::TensorOptions(at::kLong).device(anchors.device()));
  const at::Tensor forward = cross_entropy(scores, right);
  if (!options.symmetric) return forward;
  return 0.5 * (forward + cross_entropy(scores.narrow(1, 0, n).t(), right));
}

at::Tensor triplet(const at::Tensor& anchors, const at::Tensor& positives, const at::Tensor& negatives,
                   Distance distance, double margin) {
  const auto apart = [&](const at::Tensor& others) {
    return distance == Distance::kEuclidean ? at::pairwise_distance(anchors, others)
                                            : 1 - at::cosine_similarity(anchors, others);
  };
  return at::relu(apart(positives) - apart(negatives) + margin).sum();
}

}  // namespace penjing::train
