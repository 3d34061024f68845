#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "train/torch.h"

namespace penjing::train {

// The rows of each sequence of a packed batch (offsets as in PackedBatch), views. Their gradients are put
// end to end once; of a narrow() for each sequence every one would become a tensor of all rows, to be added.
std::vector<at::Tensor> split_sequences(const at::Tensor& rows, std::span<const int64_t> offsets);

}  // namespace penjing::train
