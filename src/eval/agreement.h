#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace penjing {

double cosine(std::span<const float> a, std::span<const float> b);  // 1 when both are zero, 0 when one is
double max_abs_difference(std::span<const float> a, std::span<const float> b);
// KL(softmax(reference) || softmax(candidate)) in nats.
double kl_divergence(std::span<const float> reference_logits, std::span<const float> candidate_logits);
int64_t argmax(std::span<const float> values);  // the first of equals

// Running comparison of a candidate with its reference, a row at a time.
struct Agreement {
  int64_t rows = 0;
  double cosine_sum = 0, cosine_min = 1, kl_sum = 0, max_abs = 0;
  int64_t same_top1 = 0, worst_row = -1;

  void add(int64_t row, std::span<const float> reference, std::span<const float> candidate, bool logits);
  double cosine_mean() const { return rows > 0 ? cosine_sum / static_cast<double>(rows) : 1; }
  double kl_mean() const { return rows > 0 ? kl_sum / static_cast<double>(rows) : 0; }
  double top1() const { return rows > 0 ? static_cast<double>(same_top1) / static_cast<double>(rows) : 1; }
};

}  // namespace penjing
