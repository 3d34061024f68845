#pragma once

#include <functional>
#include <span>

#include "train/objective.h"

namespace penjing::train {

// The loss of a batch of sentence embeddings [sequences, dim], a scalar.
using EmbeddingLoss = std::function<at::Tensor(const at::Tensor& embeddings)>;

// `loss_of` of the embeddings of the sequences, numbered `samples`. Beyond chunk_tokens tokens, memory is
// that of one chunk of as many (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory
// Limited Setup"): a forward without graph, the loss' gradients with respect to the embeddings, and in
// backward() a second forward and its backward chunk by chunk. Dropout is a function of (seed, step, sample,
// position), so that both forwards are the same and the result is that of the direct form up to the rounding
// of sums. Only network.parameters get gradients then: with a tap or a quantizer in the context the direct
// form is taken. What `sequences` points to must live until backward() was called.
at::Tensor embedding_loss(const Network& network, const ForwardContext& context,
                          std::span<const Sequence* const> sequences, std::span<const int64_t> samples,
                          int64_t chunk_tokens, const EmbeddingLoss& loss_of);

}  // namespace penjing::train
