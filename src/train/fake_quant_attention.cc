#include "train/fake_quant_attention.h"

#include "train/fake_quant.h"
#include "train/split_sequences.h"

namespace penjing::train {

namespace {

// [tokens, heads * head_dim] by a scale a token and head.
at::Tensor quantize_heads(const at::Tensor& rows, int64_t head_dim) {
  return fake_quantize_rows(rows.reshape({-1, head_dim}), kInt8, true).view({rows.size(0), -1});
}

// By a scale a column of each sequence.
at::Tensor quantize_features(const at::Tensor& rows, const std::vector<int64_t>& offsets) {
  std::vector<at::Tensor> parts;
  for (const at::Tensor& sequence : split_sequences(rows, offsets)) {
    parts.push_back(fake_quantize_rows(sequence.t().contiguous(), kInt8, true).t());
  }
  return at::cat(parts);
}

}  // namespace

at::Tensor attention_in_integers(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const std::vector<int64_t>& offsets, const std::vector<int64_t>& samples,
                                 const AttentionShape& shape, const at::Tensor& bias,
                                 const DropoutSite& dropout, AttentionScores* scores) {
  const at::Tensor q = quantize_heads(query, shape.head_dim), k = quantize_heads(key, shape.head_dim),
                   v = quantize_features(value, offsets);
  return attention(q, k, v, offsets, samples, shape, bias, dropout, scores);
}

}  // namespace penjing::train
