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

// What a head of HeadInput::kEnds or kAttended reads of the encoder's output [tokens, hidden_size]:
// [sequences, hidden_size], or where it compares [sequences, 4 hidden_size].
at::Tensor read_texts(const HeadSpec& head, const Parameters& parameters, const at::Tensor& hidden,
                      const PackedBatch& batch, const ForwardContext& context);

}  // namespace penjing::train
