#include "distill/sequence_numerics.h"

#include <vector>

namespace penjing::distill {

namespace {

int64_t num_sequences(std::span<const int64_t> offsets) {
  return static_cast<int64_t>(offsets.size()) - 1;
}

at::Tensor to_device(const std::vector<int64_t>& numbers, at::Device device) {
  return at::tensor(numbers, at::kLong).to(device);
}

// [n, 1, ...] of as many dimensions as rows.
at::Tensor lengths_for(const at::Tensor& rows, std::span<const int64_t> offsets) {
  std::vector<int64_t> lengths;
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) lengths.push_back(offsets[i + 1] - offsets[i]);
  std::vector<int64_t> shape(static_cast<std::size_t>(rows.dim()), 1);
  shape[0] = num_sequences(offsets);
  return to_device(lengths, rows.device()).to(rows.scalar_type()).view(shape);
}

}  // namespace

at::Tensor sequence_numbers(std::span<const int64_t> offsets, at::Device device) {
  std::vector<int64_t> numbers;
  numbers.reserve(static_cast<std::size_t>(offsets.back()));
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    numbers.insert(numbers.end(), static_cast<std::size_t>(offsets[i + 1] - offsets[i]),
                   static_cast<int64_t>(i));
  }
  return to_device(numbers, device);
}

at::Tensor sequence_sums(const at::Tensor& rows, std::span<const int64_t> offsets) {
  std::vector<int64_t> shape = rows.sizes().vec();
  shape[0] = num_sequences(offsets);
  return at::zeros(shape, rows.options()).index_add(0, sequence_numbers(offsets, rows.device()), rows);
}

at::Tensor sequence_means(const at::Tensor& rows, std::span<const int64_t> offsets) {
  return sequence_sums(rows, offsets) / lengths_for(rows, offsets);
}

at::Tensor first_rows(const at::Tensor& rows, std::span<const int64_t> offsets) {
  return rows.index_select(0, to_device({offsets.begin(), offsets.end() - 1}, rows.device()));
}

at::Tensor sequence_directions(const at::Tensor& rows, std::span<const int64_t> offsets) {
  const at::Tensor squares = sequence_sums(rows * rows, offsets);
  const at::Tensor there = squares > 1e-24;
  const at::Tensor lengths = at::where(there, squares, at::ones_like(squares)).sqrt();
  const at::Tensor numbers = sequence_numbers(offsets, rows.device());
  return (rows / lengths.index_select(0, numbers))
      .masked_fill(there.logical_not().index_select(0, numbers), 0);
}

at::Tensor with_neighbours(const at::Tensor& rows, std::span<const int64_t> offsets) {
  const int64_t total = offsets.back();
  std::vector<int64_t> before, after;  // row total is 0
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    for (int64_t t = offsets[i]; t < offsets[i + 1]; ++t) {
      before.push_back(t == offsets[i] ? total : t - 1);
      after.push_back(t + 1 == offsets[i + 1] ? total : t + 1);
    }
  }
  const at::Tensor padded = at::cat({rows, at::zeros({1, rows.size(1)}, rows.options())});
  return at::cat({padded.index_select(0, to_device(before, rows.device())), rows,
                  padded.index_select(0, to_device(after, rows.device()))},
                 1);
}

}  // namespace penjing::distill
