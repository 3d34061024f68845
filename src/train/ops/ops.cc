#include "train/ops/reference.h"

namespace penjing::train {

at::Tensor dropout_add_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& scale,
                            const at::Tensor& shift, const NormSpec& norm, const DropoutSite& dropout,
                            const at::Tensor& row_keys) {
  return reference::dropout_add_norm(x, residual, scale, shift, norm, dropout, row_keys);
}
at::Tensor dropout_add(const at::Tensor& x, const at::Tensor& residual, const DropoutSite& dropout,
                       const at::Tensor& row_keys) {
  return reference::dropout_add(x, residual, dropout, row_keys);
}
at::Tensor activate(const at::Tensor& x, Activation activation) {
  return reference::activate(x, activation);
}
at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const std::vector<int64_t>& offsets, const std::vector<int64_t>& samples,
                     const AttentionShape& shape, const at::Tensor& bias, const DropoutSite& dropout,
                     AttentionScores* scores) {
  return reference::attention(query, key, value, offsets, samples, shape, bias, dropout, scores);
}
at::Tensor embed(const at::Tensor& word, const at::Tensor& ids, const at::Tensor& position,
                 const at::Tensor& positions, const at::Tensor& type, const at::Tensor& types) {
  return reference::embed(word, ids, position, positions, type, types);
}

}  // namespace penjing::train
