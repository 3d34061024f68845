#pragma once

#include "train/torch.h"

// Losses on logits and embeddings, differentiable, in the type of their arguments (FP32 in training, FP64 in
// the tests). Each is the SUM over the n examples of what PyTorch or Sentence-Transformers call the loss of
// one (their mean is this divided by the weights of the examples, see Objective): micro batches and ranks can
// be added. Where a loss is a function of the whole batch (CoSENT), it is n times that.
namespace penjing::train {

// Targets of this number count for nothing.
inline constexpr int64_t kIgnoredTarget = -100;

struct CrossEntropyOptions {
  at::Tensor class_weights;    // [classes] or undefined: all 1
  double label_smoothing = 0;  // in [0, 1)
};

// torch.nn.functional.cross_entropy. logits [n, classes], targets [n] int64. With class weights w and
// smoothing e: sum_i -(1 - e) w[y_i] log p_i[y_i] - e / classes sum_c w[c] log p_i[c]. An example's weight in
// PyTorch's mean is w[y_i].
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets,
                         const CrossEntropyOptions& options = {});

// torch's binary_cross_entropy_with_logits, the mean over an example's labels: logits and targets [n,
// labels], targets 0 or 1 (or between). positive_weights [labels] or undefined: multiply the terms of
// targets 1.
at::Tensor multi_label_cross_entropy(const at::Tensor& logits, const at::Tensor& targets,
                                     const at::Tensor& positive_weights = {});

// Squares of differences, the mean over an example's outputs: [n] or [n, outputs], both alike.
at::Tensor squared_error(const at::Tensor& predicted, const at::Tensor& wanted);

// Rows divided by their Euclidean length, at least 1e-12.
at::Tensor unit_rows(const at::Tensor& rows);

struct MultipleNegativesOptions {
  double scale = 20;  // of cosines: the inverse of the temperature
  bool symmetric = false;
  at::Tensor excluded;  // bool [n, candidates] or undefined: true where a candidate is another right answer
};

// Multiple-negatives ranking (Henderson et al. 2017, "Efficient Natural Language Response Suggestion", 4.4;
// InfoNCE): cross-entropy of scale * cos(anchor_i, candidate_j) with the right answer j = i. anchors [n,
// dim]; candidates [m, dim], m >= n: the positives, then hard negatives of all. Symmetric: the mean of that
// and of the cross-entropy of each positive against all anchors (as Sentence-Transformers'
// MultipleNegativesSymmetricRankingLoss).
at::Tensor multiple_negatives(const at::Tensor& anchors, const at::Tensor& candidates,
                              const MultipleNegativesOptions& options = {});

// max(0, d(a, p) - d(a, n) + margin) with d = |x - y + 1e-6| (torch's pairwise_distance; Reimers and Gurevych
// 2019, margin 5) or 1 - cos(x, y).
enum class Distance { kEuclidean, kCosine };
at::Tensor triplet(const at::Tensor& anchors, const at::Tensor& positives, const at::Tensor& negatives,
                   Distance distance, double margin);

// (cos(a_i, b_i) - wanted_i)^2.
at::Tensor cosine_error(const at::Tensor& a, const at::Tensor& b, const at::Tensor& wanted);

// CoSENT (Su 2022, https://kexue.fm/archives/8847), as Sentence-Transformers' CoSENTLoss:
// n log(1 + sum over i, j with wanted_i < wanted_j of exp(scale (cos_i - cos_j))), cos_i = cos(a_i, b_i).
at::Tensor cosent(const at::Tensor& a, const at::Tensor& b, const at::Tensor& wanted, double scale = 20);

// Contrastive loss (Hadsell, Chopra and LeCun 2006) on cosine distances d = 1 - cos(a, b):
// 1/2 (y d^2 + (1 - y) max(0, margin - d)^2), y = 1 for texts of one class.
at::Tensor contrastive(const at::Tensor& a, const at::Tensor& b, const at::Tensor& same, double margin = 0.5);

}  // namespace penjing::train
