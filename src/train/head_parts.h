#pragma once

#include "train/encoder.h"

namespace penjing::train {

// The two halves of a head of `picked` rows [n, width] of the encoder's output, whose dropout is keyed by
// row_keys [n] (PackedBatch::row_keys).

// What the projection reads, behind dense layer, activation and norm.
at::Tensor head_features(const Parameters& parameters, const HeadSpec& head, const at::Tensor& picked,
                         const at::Tensor& row_keys, const ForwardContext& context);
// The projection's logits, FP32, behind the classifier's dropout, whose random stream has the number `site`.
at::Tensor head_scores(const Parameters& parameters, const HeadSpec& head, const at::Tensor& features,
                       const at::Tensor& row_keys, uint32_t site, const ForwardContext& context);

}  // namespace penjing::train
