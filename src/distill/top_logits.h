#pragma once

#include "train/torch.h"

namespace penjing::distill {

// Logits of many classes in short, a row each of `rows`: the `count` largest, descending; their classes; and
// the logarithm of the sum of exp of the others. [n, classes] -> [n, 2 count + 1] FP32, classes > 2 count + 1
// and at most 2^24, which FP32 counts exactly.
at::Tensor shorten_logits(const at::Tensor& rows, int64_t count);
// Back to [n, classes]: the others share what they had together, so that the softmax of the largest is what
// it was. kFormat for a class that is none of them.
at::Tensor restore_logits(const at::Tensor& shortened, int64_t classes);

}  // namespace penjing::distill
