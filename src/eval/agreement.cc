#include "eval/agreement.h"

#include <algorithm>
#include <cmath>

namespace penjing {

double cosine(std::span<const float> a, std::span<const float> b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  if (aa == 0 || bb == 0) return aa == bb ? 1 : 0;
  return ab / std::sqrt(aa * bb);
}

double max_abs_difference(std::span<const float> a, std::span<const float> b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::fabs(double{a[i]} - b[i]));
  return worst;
}

double kl_divergence(std::span<const float> reference, std::span<const float> candidate) {
  const auto log_sum = [](std::span<const float> logits) {
    const double highest = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const float x : logits) sum += std::exp(x - highest);
    return highest + std::log(sum);
  };
  const double p_norm = log_sum(reference), q_norm = log_sum(candidate);
  double kl = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double log_p = reference[i] - p_norm, log_q = candidate[i] - q_norm;
    kl += std::exp(log_p) * (log_p - log_q);
  }
  return kl;
}

int64_t argmax(std::span<const float> values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

void Agreement::add(int64_t row, std::span<const float> reference, std::span<const float> candidate,
                    bool logits) {
  const double c = cosine(reference, candidate);
  ++rows;
  cosine_sum += c;
  if (worst_row < 0 || c < cosine_min) {
    cosine_min = c;
    worst_row = row;
  }
  max_abs = std::max(max_abs, max_abs_difference(reference, candidate));
  if (!logits) return;
  kl_sum += kl_divergence(reference, candidate);
  same_top1 += argmax(reference) == argmax(candidate) ? 1 : 0;
}

}  // namespace penjing
