#pragma once

#include "train/ops.h"

// The operations between the integer products with the runtime's own kernels, so that a quantized model in
// training says bit for bit what `penjing` will say of it. FP32 rows on the CPU, without gradient or dropout.
// Quantization makes this necessary: codes next to a tie turn a last bit into a step of 1/255, and a token's
// scale follows its extremes, so that a difference of 1e-7 behind the embeddings is 1e-2 four layers later.
namespace penjing::train::as_runtime {

// norm(x + residual); residual may be undefined.
at::Tensor norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& scale,
                const at::Tensor& shift, const NormSpec& norm);
at::Tensor activate(const at::Tensor& x, Activation activation);
// By kernels/attention_i8. bias: as that of attention().
at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const std::vector<int64_t>& offsets, const AttentionShape& shape,
                     const at::Tensor& bias);
// word + type + position, summed in this order; undefined tables left out.
at::Tensor embed(const at::Tensor& word, const at::Tensor& ids, const at::Tensor& position,
                 const at::Tensor& positions, const at::Tensor& type, const at::Tensor& types);

}  // namespace penjing::train::as_runtime
