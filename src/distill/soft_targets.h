#pragma once

#include "train/torch.h"

namespace penjing::distill {

// Of two rows of logits, with p = softmax(teacher / temperature) and q = softmax(student / temperature) over
// the last dimension: KL(p || q) = sum p log(p / q), or the cross-entropy -sum p log q, whose gradient is the
// same. A class whose teacher's logit is -infinity is absent on both sides.
enum class Divergence { kKl, kCrossEntropy };
at::Tensor soft_target_loss(const at::Tensor& student, const at::Tensor& teacher, double temperature,
                            Divergence divergence);

}  // namespace penjing::distill
