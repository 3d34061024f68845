#pragma once

#include <span>
#include <vector>

#include "distill/distill.h"
#include "distill/teacher.h"

namespace penjing::distill {

// How much each teacher counts for each example, [teachers, examples], each example's shares summing to 1:
//   kNone        w_k
//   kConfidence  w_k p_k(label): the probability that the teacher gives the truth
//   kEntropy     w_k exp(-H_k): H_k is the entropy of its distribution
// each divided by its sum over the teachers. logits: one [examples, classes] a teacher; for kNone any tensors
// with as many rows. labels [examples], read by kConfidence alone.
at::Tensor teacher_shares(const std::vector<at::Tensor>& logits, std::span<const double> weights,
                          Gating gating, const at::Tensor& labels);

// One teacher or several. Several say as one the weighted mean of their logits or sentence embeddings. Of
// logits that is the geometric mean of their distributions, at any temperature, and for a squared error it
// has the same gradient as the weighted sum of the teachers' losses.
class Teachers {
 public:
  // weights: one a teacher, above 0; empty: equal. kInput otherwise.
  Teachers(std::vector<Teacher> teachers, const std::vector<double>& weights, Gating gating);

  std::size_t size() const { return teachers_.size(); }
  const Teacher& first() const { return teachers_.front(); }
  std::span<Teacher> all() { return teachers_; }
  Gating gating() const { return gating_; }
  // Same answers, same value.
  Json origin() const;

  // As Teacher::run(). Of several, needs.whole of kLogits and kEmbeddings alone.
  Outputs run(const train::Objective& task, const OutputNeeds& needs, const train::ForwardContext& context,
              std::span<const int64_t> examples, int64_t epoch);

 private:
  std::vector<Teacher> teachers_;
  std::vector<double> weights_;
  Gating gating_;
};

}  // namespace penjing::distill
