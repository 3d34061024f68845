#pragma once

#include <cstdint>
#include <vector>

#include "text/ragged_batch.h"
#include "train/torch.h"

namespace penjing::train {

// Names a token's row: its sequence's number in the data set, and its position there.
inline int64_t row_key(int64_t sample, int64_t position) {
  return sample << 20 | position;
}

// Sequences of one forward, packed end to end without padding, as the network reads them; its tensors lie on
// the network's device.
struct PackedBatch {
  at::Tensor ids, types, positions;  // [tokens], int64; positions within the sequence, from 0
  std::vector<int64_t> offsets{0};   // sequence i holds tokens [offsets[i], offsets[i+1])
  // Names each sequence in the data set, over all ranks: with the position it keys the dropout
  // (random_key.h). Several sequences of one example (pairs of texts) have different numbers.
  std::vector<int64_t> samples;  // [sequences]
  at::Tensor row_keys;           // [tokens], int64: row_key()

  std::vector<int64_t> prompts;  // [sequences]: tokens of each one's prompt; empty: none

  int64_t num_sequences() const { return static_cast<int64_t>(samples.size()); }
  int64_t num_tokens() const { return offsets.back(); }
  int64_t length(int64_t i) const { return offsets[i + 1] - offsets[i]; }
  at::Tensor first_tokens() const;  // [sequences], int64: offsets without the last
};

PackedBatch pack(const RaggedBatch& batch, std::vector<int64_t> samples, at::Device device = at::kCPU);

}  // namespace penjing::train
