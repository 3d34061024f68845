#include "train/split_sequences.h"

namespace penjing::train {

std::vector<at::Tensor> split_sequences(const at::Tensor& rows, std::span<const int64_t> offsets) {
  std::vector<int64_t> lengths;
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) lengths.push_back(offsets[i + 1] - offsets[i]);
  return rows.split_with_sizes(lengths, 0);
}

}  // namespace penjing::train
