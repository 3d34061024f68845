#pragma once

#include <functional>
#include <vector>

#include "model/description.h"
#include "train/random_key.h"
#include "train/torch.h"

// The differentiable pieces that encoders are made of, on packed rows. Each is a custom autograd function on
// our own kernels (src/kernels/train_*) for float and bfloat16 rows on a CPU, and the formula in ATen
// operations for anything else (double in the tests, CUDA): reference.h names those, the tests compare the
// two. Statistics, products' sums and parameters' gradients are FP32 whatever the rows are. All run on
// LibTorch's threads (at::parallel_for), and no result depends on how many there are.
namespace penjing::train {

// y = norm(residual + dropout(x)): rows [tokens, width]. residual may be undefined. `scale` and `shift`
// [width], FP32; shift may be undefined (RMS norm, no bias).
at::Tensor dropout_add_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& scale,
                            const at::Tensor& shift, const NormSpec& norm, const DropoutSite& dropout,
                            const at::Tensor& row_keys);

// residual + dropout(x), of pre-norm blocks and of embeddings; residual may be undefined.
at::Tensor dropout_add(const at::Tensor& x, const at::Tensor& residual, const DropoutSite& dropout,
                       const at::Tensor& row_keys);

// act(x), element by element.
at::Tensor activate(const at::Tensor& x, Activation activation);

// Attention scores of one forward, for who asked: per sequence [heads, length, length] before softmax
// (scaled, bias added) and after (before dropout), differentiable. Only then are they materialised.
struct AttentionScores {
  std::vector<at::Tensor> before, after;
};

struct AttentionShape {
  int64_t num_heads = 0, head_dim = 0;
  float scale = 0;
  int64_t window = 0;  // 0: global, else tokens to each side
};

// softmax(Q K^T * scale + bias), dropout, times V, for each sequence and head. query, key, value: rows
// [tokens, heads * head_dim], any row stride. offsets as in PackedBatch. `bias`: undefined, or
// [heads, longest, longest] (relative positions). `scores`: null, or filled.
at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const std::vector<int64_t>& offsets, const std::vector<int64_t>& samples,
                     const AttentionShape& shape, const at::Tensor& bias, const DropoutSite& dropout,
                     AttentionScores* scores);

// Sum of rows of tables: word[ids] + position[positions] + type[types], undefined tables left out. FP32
// [tokens, width]. The gradient of a table is summed in the order of the tokens: the same on any number of
// threads.
at::Tensor embed(const at::Tensor& word, const at::Tensor& ids, const at::Tensor& position,
                 const at::Tensor& positions, const at::Tensor& type, const at::Tensor& types);

// The rows of the next token, of the token and of the one before, side by side: [tokens, 3 * width]; zeros
// beyond the ends of a sequence. positions, offsets as in PackedBatch.
at::Tensor trigrams(const at::Tensor& rows, const at::Tensor& positions, const std::vector<int64_t>& offsets);

}  // namespace penjing::train
