#include "train/ops/reference.h"

#include "base/error.h"
#include "base/rng.h"

namespace penjing::train::reference {

namespace {

uint32_t fold(uint64_t v) {
  return static_cast<uint32_t>(v) ^ (static_cast<uint32_t>(v >> 32) * 0x9E3779B9u);
}

// The keep mask of rows whose keys are `keys`, columns [first, first + columns), times 1 / (1 - p).
at::Tensor draw_mask(const std::vector<int64_t>& keys, int64_t first, int64_t columns,
                     const DropoutSite& site) {
  at::Tensor mask = at::empty({static_cast<int64_t>(keys.size()), columns}, at::kFloat);
  float* out = mask.data_ptr<float>();
  const auto threshold = static_cast<uint64_t>(site.probability * 4294967296.0);
  const auto kept = static_cast<float>(1.0 / (1.0 - site.probability));
  const std::array<uint32_t, 2> key = {fold(site.key.seed), site.site};
  const uint32_t step = fold(site.key.step);
  for (const int64_t row : keys) {
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t column = first + c;
      const auto words = philox4x32({static_cast<uint32_t>(column / 4), static_cast<uint32_t>(row),
                                     static_cast<uint32_t>(row >> 32), step},
                                    key);
      *out++ = words[static_cast<std::size_t>(column % 4)] >= threshold ? kept : 0.0f;
    }
  }
  return mask;
}

at::Tensor drop(const at::Tensor& x, const DropoutSite& dropout, const at::Tensor& row_keys) {
  return dropout.probability > 0 ? x * keep_mask(x, dropout, row_keys) : x;
}

}  // namespace

at::Tensor keep_mask(const at::Tensor& like, const DropoutSite& dropout, const at::Tensor& row_keys) {
  const at::Tensor keys = row_keys.to(at::kCPU).contiguous();
  const std::vector<int64_t> rows(keys.data_ptr<int64_t>(), keys.data_ptr<int64_t>() + keys.numel());
  return draw_mask(rows, 0, like.size(1), dropout).to(like.options());
}

at::Tensor dropout_add(const at::Tensor& x, const at::Tensor& residual, const DropoutSite& dropout,
                       const at::Tensor& row_keys) {
  const at::Tensor kept = drop(x, dropout, row_keys);
  return residual.defined() ? residual + kept : kept;
}

at::Tensor dropout_add_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& scale,
                            const at::Tensor& shift, const NormSpec& norm, const DropoutSite& dropout,
                            const at::Tensor& row_keys) {
  const at::Tensor sum = reference::dropout_add(x, residual, dropout, row_keys);
  const at::ScalarType wide = sum.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  at::Tensor y = sum.to(wide);
  if (norm.kind == NormKind::kLayerNorm) {
    y = y - y.mean(1, true);
  }
  if (norm.kind != NormKind::kAffine) {
    y = y / (y.square().mean(1, true) + static_cast<double>(norm.epsilon)).sqrt();
  }
  y = y * scale;
  if (shift.defined()) y = y + shift;
  return y.to(sum.scalar_type());
}

at::Tensor activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case Activation::kRelu:
      return at::relu(x);
    case Activation::kSilu:
      return at::silu(x);
    case Activation::kTanh:
      return at::tanh(x);
  }
  fail(ErrorKind::kInternal, "activation {}", static_cast<int>(activation));
}

at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const std::vector<int64_t>& offsets, const std::vector<int64_t>& samples,
                     const AttentionShape& shape, const at::Tensor& bias, const DropoutSite& dropout,
                     AttentionScores* scores) {
  std::vector<at::Tensor> contexts;
  const auto heads_of = [&](const at::Tensor& rows, int64_t begin, int64_t length) {
    return rows.narrow(0, begin, length).reshape({length, shape.num_heads, shape.head_dim}).transpose(0, 1);
  };
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
    const int64_t begin = offsets[s], length = offsets[s + 1] - begin;
    at::Tensor products =
        at::matmul(heads_of(query, begin, length), heads_of(key, begin, length).transpose(1, 2));
    at::Tensor before = products * static_cast<double>(shape.scale);
    if (bias.defined()) before = before + bias.narrow(1, 0, length).narrow(2, 0, length);
    if (shape.window > 0) {
      const at::Tensor at = at::arange(length, before.options().dtype(at::kLong));
      const at::Tensor far = (at.unsqueeze(0) - at.unsqueeze(1)).abs() > shape.window;
      before = before.masked_fill(far, -std::numeric_limits<double>::infinity());
    }
    at::Tensor after = at::softmax(before, 2);
    if (scores != nullptr) {
      scores->before.push_back(before);
      scores->after.push_back(after);
    }
    if (dropout.probability > 0) {
      std::vector<int64_t> keys;
      for (int64_t i = 0; i < length; ++i) keys.push_back(samples[s] << 20 | i);
      std::vector<at::Tensor> masks;
      for (int64_t h = 0; h < shape.num_heads; ++h)
        masks.push_back(draw_mask(keys, h << 20, length, dropout));
      after = after * at::stack(masks).to(after.options());
    }
    contexts.push_back(
        at::matmul(after, heads_of(value, begin, length)).transpose(0, 1).reshape({length, -1}));
  }
  return at::cat(contexts);
}

at::Tensor embed(const at::Tensor& word, const at::Tensor& ids, const at::Tensor& position,
                 const at::Tensor& positions, const at::Tensor& type, const at::Tensor& types) {
  at::Tensor rows = at::embedding(word, ids);
  if (position.defined()) rows = rows + at::embedding(position, positions);
  if (type.defined()) rows = rows + at::embedding(type, types);
  return rows;
}

}  // namespace penjing::train::reference
