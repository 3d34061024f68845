#pragma once

#include <cstdint>
#include <span>

#include "train/torch.h"

// What several losses compute of packed sequences: rows [T, ...], sequence i at [offsets[i], offsets[i + 1]).
// No result of a sequence depends on another one.
namespace penjing::distill {

// Number of the sequence that each row is of: [T], int64.
at::Tensor sequence_numbers(std::span<const int64_t> offsets, at::Device device);

// Sums of each sequence's rows, [n, ...].
at::Tensor sequence_sums(const at::Tensor& rows, std::span<const int64_t> offsets);
at::Tensor sequence_means(const at::Tensor& rows, std::span<const int64_t> offsets);
at::Tensor first_rows(const at::Tensor& rows, std::span<const int64_t> offsets);  // [n, ...]

// Each column of each sequence divided by its Euclidean length over the sequence: [T, ...], lengths below
// 1e-12 give 0 without gradient (directions() in row_numerics.h).
at::Tensor sequence_directions(const at::Tensor& rows, std::span<const int64_t> offsets);

// [T, 3 * width]: each row beside the one before and the one after it in its sequence, 0 where there is none:
// what a convolution over three tokens multiplies.
at::Tensor with_neighbours(const at::Tensor& rows, std::span<const int64_t> offsets);

}  // namespace penjing::distill
