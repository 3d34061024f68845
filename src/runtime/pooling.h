#pragma once

#include <cstdint>

#include "kernels/panel.h"
#include "model/model.h"

namespace penjing {

// Pools the tokens of one sequence by each mode, concatenated in the order of spec.modes, as
// Sentence-Transformers does; sums run over the tokens ascending, one FP32 chain a feature:
//   cls            the first token                      max         maximum of each feature
//   mean           sum / n                              mean_sqrt_len_tokens  sum / sqrt(n)
//   weightedmean   sum of (i + 1) x_i / sum of (i + 1)  lasttoken   the last token
// The first `skip` tokens (a prompt that is not included) take no part, except that cls stays token 0 and
// that the weights still count from the start of the sequence. All skipped: sums and maxima are of nothing,
// zero.
//
// panels: encoder output, tokens [begin, begin + length); feature f of the result goes to target[f * stride].
void pool_sequence(const PoolingSpec& spec, const float* panels, PanelShape shape, int64_t features,
                   int64_t begin, int64_t length, int64_t skip, float* target, int64_t stride);

}  // namespace penjing
