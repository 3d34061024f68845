#pragma once

#include <vector>

#include "train/encoder.h"

namespace penjing::train {

// Cross-entropy of the masked-LM head at chosen tokens: -sum_i log softmax(head(hidden[rows[i]]))[labels[i]],
// a scalar. hidden: [tokens, hidden_size], the encoder's output; rows, labels: [n], int64. Logits are made
// for these rows alone, `slice_rows` of them at once (0: as many as 256 MiB hold): beyond one slice they are
// made again in the backward instead of being kept, so that memory is bounded whatever n is (checkpointing,
// Chen et al. 2016).
at::Tensor masked_lm_loss(const Description& description, const Parameters& parameters,
                          const at::Tensor& hidden, const PackedBatch& batch, const at::Tensor& rows,
                          const at::Tensor& labels, const ForwardContext& context, int64_t slice_rows = 0);

// The head's view of the same rows, without gradients: log p(label) in nats and whether the label has the
// largest logit.
struct MaskedGuesses {
  std::vector<double> log_probabilities;
  std::vector<bool> right;
};
MaskedGuesses guess_masked(const Description& description, const Parameters& parameters,
                           const at::Tensor& hidden, const PackedBatch& batch, const at::Tensor& rows,
                           const at::Tensor& labels, const ForwardContext& context);

}  // namespace penjing::train
