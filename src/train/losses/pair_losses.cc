// Losses on two embeddings with a score or a sign: cosine error, CoSENT, contrastive.
#include "train/losses.h"

namespace penjing::train {

at::Tensor cosine_error(const at::Tensor& a, const at::Tensor& b, const at::Tensor& wanted) {
  return squared_error(at::cosine_similarity(a, b), wanted);
}

at::Tensor cosent(const at::Tensor& a, const at::Tensor& b, const at::Tensor& wanted, double scale) {
  const at::Tensor scores = at::cosine_similarity(a, b) * scale;
  const at::Tensor worse = wanted.unsqueeze(1) < wanted.unsqueeze(0);  // [i, j]: j should score higher
  const at::Tensor differences = (scores.unsqueeze(1) - scores.unsqueeze(0)).masked_select(worse);
  return at::logsumexp(at::cat({at::zeros({1}, scores.options()), differences}), {0}) *
         static_cast<double>(scores.size(0));
}

at::Tensor contrastive(const at::Tensor& a, const at::Tensor& b, const at::Tensor& same, double margin) {
  const at::Tensor distance = 1 - at::cosine_similarity(a, b);
  const at::Tensor y = same.to(distance.options());
  const at::Tensor apart = at::relu(margin - distance);
  return 0.5 * (y * distance * distance + (1 - y) * apart * apart).sum();
}

}  // namespace penjing::train
