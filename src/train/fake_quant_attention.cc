#include "train/fake_quant_attention.h"

#include "train/fake_quant.h"

namespace penjing::train {

namespace {

constexpr double kProbabilityCodes = 255;

// [tokens, heads * head_dim] by a scale a token and head.
at::Tensor quantize_heads(const at::Tensor& rows, int64_t head_dim) {
  return fake_quantize_rows(rows.reshape({-1, head_dim}), kInt8, true).view({rows.size(0), -1});
}

// By a scale a column of each sequence.
at::Tensor quantize_features(const at::Tensor& rows, const std::vector<int64_t>& offsets) {
  std::vector<at::Tensor> parts;
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
    const at::Tensor sequence = rows.narrow(0, offsets[s], offsets[s + 1] - offsets[s]);
    parts.push_back(fake_quantize_rows(sequence.t().contiguous(), kInt8, true).t());
  }
  return at::cat(parts);
}

at::Tensor with_rounded_probabilities(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                      const std::vector<int64_t>& offsets, const AttentionShape& shape) {
  std::vector<at::Tensor> contexts;
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
    const int64_t length = offsets[s + 1] - offsets[s];
    const auto heads = [&](const at::Tensor& rows) {
      return rows.narrow(0, offsets[s], length)
          .reshape({length, shape.num_heads, shape.head_dim})
          .transpose(0, 1);
    };
    at::Tensor products =
        at::matmul(heads(query), heads(key).transpose(1, 2)) * static_cast<double>(shape.scale);
    if (shape.window > 0) {
      const at::Tensor at = at::arange(length, at::kLong);
      products.masked_fill_((at.unsqueeze(0) - at.unsqueeze(1)).abs() > shape.window,
                            -std::numeric_limits<double>::infinity());
    }
    const at::Tensor codes = ((products - products.amax(2, true)).exp() * kProbabilityCodes).round();
    contexts.push_back(
        (at::matmul(codes, heads(value)) / codes.sum(2, true)).transpose(0, 1).reshape({length, -1}));
  }
  return at::cat(contexts);
}

}  // namespace

at::Tensor attention_in_integers(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const std::vector<int64_t>& offsets, const std::vector<int64_t>& samples,
                                 const AttentionShape& shape, const DropoutSite& dropout,
                                 AttentionScores* scores) {
  const at::Tensor q = quantize_heads(query, shape.head_dim), k = quantize_heads(key, shape.head_dim),
                   v = quantize_features(value, offsets);
  if (!q.requires_grad() && dropout.probability == 0 && scores == nullptr) {
    const at::ScalarType type = query.scalar_type();
    return with_rounded_probabilities(q.to(at::kFloat), k.to(at::kFloat), v.to(at::kFloat), offsets, shape)
        .to(type);
  }
  return attention(q, k, v, offsets, samples, shape, at::Tensor(), dropout, scores);
}

}  // namespace penjing::train
