#pragma once

#include "kernels/panel.h"
#include "runtime/recurrent_op.h"

namespace penjing {

// The sum over the tokens of a run of a_t h_t, a = softmax(scores) (HeadInput::kAttended). panels: rows of
// `features` numbers; scores: [run.length]; into: [features]. Sums go in the order of the tokens and the
// exponentials are those of kernels/pointwise: the bits do not depend on what else is in the batch, nor on
// the instruction set.
void pool_attended(const float* panels, PanelShape shape, int64_t features, const TokenRun& run,
                   const float* scores, float* into);

}  // namespace penjing
