#include "train/ops/reference.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/rng.h"
#include "train/split_sequences.h"

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

constexpr int64_t kLow = 0xFFFFFFFF;  // the low word of a number

// base/rng.h's philox4x32 by ATen's operations: 32-bit numbers in int64 tensors that can be broadcast. The
// product of two wraps around modulo 2^64, as that of uint64_t does.
std::array<at::Tensor, 4> philox(std::array<at::Tensor, 4> counter, std::array<uint32_t, 2> key) {
  constexpr int64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const at::Tensor product0 = counter[0] * kMultiplier0, product1 = counter[2] * kMultiplier1;
    const auto mixed = [&](const at::Tensor& product, const at::Tensor& with, uint32_t word) {
      return product.bitwise_right_shift(32).bitwise_and(kLow).bitwise_xor(with).bitwise_xor(int64_t{word});
    };
    counter = {mixed(product1, counter[1], key[0]), product1.bitwise_and(kLow),
               mixed(product0, counter[3], key[1]), product0.bitwise_and(kLow)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

// draw_mask() on the keys' device, for all heads at once: [rows, heads, columns]; those of a head begin at
// head << 20.
at::Tensor draw_mask_there(const at::Tensor& keys, int64_t heads, int64_t columns, const DropoutSite& site) {
  const at::TensorOptions numbers = keys.options();
  const at::Tensor head = at::arange(heads, numbers).view({1, heads, 1}) * (int64_t{1} << 18);
  const at::Tensor four = at::arange((columns + 3) / 4, numbers).view({1, 1, -1});
  const at::Tensor low = keys.bitwise_and(kLow).view({-1, 1, 1});
  const at::Tensor high = keys.bitwise_right_shift(32).bitwise_and(kLow).view({-1, 1, 1});
  const auto words =
      philox({head + four, low, high, at::full({1, 1, 1}, int64_t{fold(site.key.step)}, numbers)},
             {fold(site.key.seed), site.site});
  const at::Tensor drawn = at::stack(words, 3).flatten(2).narrow(2, 0, columns);
  const auto threshold = static_cast<int64_t>(site.probability * 4294967296.0);
  return drawn.ge(threshold).to(at::kFloat) * (1.0 / (1.0 - site.probability));
}

// FP32, or FP64.
at::Tensor widened(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
}

// residual + dropout(x), widened: rounded to the rows' type when all is done, as the kernels do.
at::Tensor wide_sum(const at::Tensor& x, const at::Tensor& residual, const DropoutSite& dropout,
                    const at::Tensor& row_keys) {
  at::Tensor sum = widened(x);
  if (dropout.probability > 0) sum = sum * keep_mask(sum, dropout, row_keys);
  return residual.defined() ? sum + residual : sum;
}

}  // namespace

at::Tensor keep_mask(const at::Tensor& like, const DropoutSite& dropout, const at::Tensor& row_keys) {
  if (!like.device().is_cpu())
    return draw_mask_there(row_keys, 1, like.size(1), dropout).squeeze(1).to(like.options());
  const at::Tensor keys = row_keys.contiguous();
  const std::vector<int64_t> rows(keys.data_ptr<int64_t>(), keys.data_ptr<int64_t>() + keys.numel());
  return draw_mask(rows, 0, like.size(1), dropout).to(like.options());
}

at::Tensor dropout_add(const at::Tensor& x, const at::Tensor& residual, const DropoutSite& dropout,
                       const at::Tensor& row_keys) {
  return wide_sum(x, residual, dropout, row_keys).to(x.scalar_type());
}

at::Tensor dropout_add_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& scale,
                            const at::Tensor& shift, const NormSpec& norm, const DropoutSite& dropout,
                            const at::Tensor& row_keys) {
  at::Tensor y = wide_sum(x, residual, dropout, row_keys);
  if (norm.kind == NormKind::kLayerNorm) {
    y = y - y.mean(1, true);
  }
  if (norm.kind != NormKind::kAffine) {
    y = y / (y.square().mean(1, true) + static_cast<double>(norm.epsilon)).sqrt();
  }
  y = y * scale;
  if (shift.defined()) y = y + shift;
  return y.to(x.scalar_type());
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
  const bool dropping = dropout.probability > 0, on_cpu = query.device().is_cpu();
  at::Tensor all_masks;  // [tokens, heads, longest]; on a CPU each sequence's own, which is less to draw
  if (dropping && !on_cpu) {
    std::vector<int64_t> keys;
    int64_t longest = 0;
    for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
      longest = std::max(longest, offsets[s + 1] - offsets[s]);
      for (int64_t i = 0; i < offsets[s + 1] - offsets[s]; ++i) keys.push_back(samples[s] << 20 | i);
    }
    all_masks =
        draw_mask_there(at::tensor(keys, at::kLong).to(query.device()), shape.num_heads, longest, dropout);
  }
  std::vector<at::Tensor> contexts;
  const auto heads_of = [&](const at::Tensor& rows) {
    return rows.reshape({rows.size(0), shape.num_heads, shape.head_dim}).transpose(0, 1);
  };
  const auto q = split_sequences(query, offsets), k = split_sequences(key, offsets),
             v = split_sequences(value, offsets);
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
    const int64_t begin = offsets[s], length = offsets[s + 1] - begin;
    const at::Tensor products = at::matmul(heads_of(q[s]), heads_of(k[s]).transpose(1, 2));
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
    if (dropping && !on_cpu) {
      const at::Tensor mask = all_masks.narrow(0, begin, length).narrow(2, 0, length).transpose(0, 1);
      after = (widened(after) * mask).to(after.scalar_type());
    } else if (dropping) {
      std::vector<int64_t> keys;
      for (int64_t i = 0; i < length; ++i) keys.push_back(samples[s] << 20 | i);
      std::vector<at::Tensor> masks;
      for (int64_t h = 0; h < shape.num_heads; ++h)
        masks.push_back(draw_mask(keys, h << 20, length, dropout));
      after = after * at::stack(masks).to(after.options());
    }
    contexts.push_back(at::matmul(after, heads_of(v[s])).transpose(0, 1).reshape({length, -1}));
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
