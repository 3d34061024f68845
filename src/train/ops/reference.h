#pragma once

#include "train/ops.h"

// The formulas of ops.h in ATen operations: the oracle of the tests in double, and what runs where we have no
// kernel.
namespace penjing::train::reference {

// Keep mask times 1 / (1 - p), [rows, columns] of `like`'s type: an element is kept when its Philox word, as
// a fraction of 2^32, is >= p. The word of element (row, column): philox4x32({column / 4, row key low, row
// key high, step}, {seed, site})[column % 4], of 64-bit numbers the low word XOR the high one times
// 0x9E3779B9.
at::Tensor keep_mask(const at::Tensor& like, const DropoutSite& dropout, const at::Tensor& row_keys);

at::Tensor dropout_add_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& scale,
                            const at::Tensor& shift, const NormSpec& norm, const DropoutSite& dropout,
                            const at::Tensor& row_keys);
at::Tensor dropout_add(const at::Tensor& x, const at::Tensor& residual, const DropoutSite& dropout,
                       const at::Tensor& row_keys);
at::Tensor activate(const at::Tensor& x, Activation activation);
// Of head h, row i of the sequence with number s: row key (s << 20 | i), column h << 20 | j.
at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const std::vector<int64_t>& offsets, const std::vector<int64_t>& samples,
                     const AttentionShape& shape, const at::Tensor& bias, const DropoutSite& dropout,
                     AttentionScores* scores);
at::Tensor embed(const at::Tensor& word, const at::Tensor& ids, const at::Tensor& position,
                 const at::Tensor& positions, const at::Tensor& type, const at::Tensor& types);

}  // namespace penjing::train::reference
