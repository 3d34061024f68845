#include "distill/soft_targets.h"

#include <limits>

namespace penjing::distill {

at::Tensor soft_target_loss(const at::Tensor& student, const at::Tensor& teacher, double temperature,
                            Divergence divergence) {
  constexpr double kNothing = -std::numeric_limits<double>::infinity();
  const at::Tensor absent = at::isneginf(teacher);
  const at::Tensor log_p = at::log_softmax(teacher / temperature, -1);
  const at::Tensor log_q = at::log_softmax(student.masked_fill(absent, kNothing) / temperature, -1)
                               .masked_fill(absent, 0);  // else 0 * infinity
  const at::Tensor p = log_p.exp();
  if (divergence == Divergence::kCrossEntropy) return -(p * log_q).sum({-1});
  return (p * (log_p.masked_fill(absent, 0) - log_q)).sum({-1});
}

}  // namespace penjing::distill
