#pragma once

#include <vector>

#include "train/encoder.h"

namespace penjing::train {

// Tokens that a recurrence passes through from zeros: a sequence, or what of it has one token type.
struct TokenRun {
  int64_t begin = 0, length = 0, sequence = 0;
};
std::vector<TokenRun> token_runs(const PackedBatch& batch, bool by_type);

// A bidirectional LSTM (RecurrentSpec) over every sequence of the batch, by ATen's own on packed sequences.
// x: rows [tokens, in]; returns rows [tokens, 2 size], of the type of x and computed in FP32 at least.
// kUnsupported under fake quantization.
at::Tensor run_recurrent(const RecurrentSpec& spec, const Parameters& parameters, const at::Tensor& x,
                         const PackedBatch& batch, int layer, const ForwardContext& context);

// What HeadInput::kEnds and kCompared read of the encoder's output [tokens, 2 size]: [sequences, 2 size],
// [sequences, 8 size].
at::Tensor recurrent_ends(HeadInput input, const at::Tensor& hidden, const PackedBatch& batch);

}  // namespace penjing::train
