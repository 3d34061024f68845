#pragma once

#include <functional>
#include <span>

#include "train/objective.h"

namespace penjing::train {

// The encoder on sequences in their order, without gradient and dropout, as many a forward as fit max_tokens
// (at least one). visit: the number of the batch's first sequence, the batch, the encoder's output. Ctrl-C is
// honoured between forwards.
using VisitHidden = std::function<void(int64_t first, const PackedBatch& batch, const at::Tensor& hidden)>;
void forward_all(const Network& network, const ForwardContext& context,
                 std::span<const Sequence* const> sequences, int64_t max_tokens, const VisitHidden& visit);

// Sentence embeddings of the sequences, [sequences, dim], on the CPU.
at::Tensor embed_all(const Network& network, const ForwardContext& context,
                     std::span<const Sequence* const> sequences, int64_t max_tokens);

}  // namespace penjing::train
