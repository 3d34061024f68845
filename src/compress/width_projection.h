#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "compress/calibration.h"
#include "model/model.h"

namespace penjing {

class ThreadPool;

// A narrower hidden state: h' = P^T h, P [H, w] with orthonormal columns. Of a post-norm encoder every reader
// becomes W P, every writer P^T W and P^T b, every embedding table E P; heads as project_width says.
//
// P spans u = (1, ..., 1) / sqrt(H) and the w - 1 directions across it in which the hidden states have the
// largest second moment: the sum over all norms of E[h h^T] / E|h|^2, so that each norm counts the same.
// Within that span it is turned so that P (1, ..., 1) / sqrt(w) = u: then what the narrow LayerNorm
// subtracts, the mean over its w features, is the projection of what the wide one subtracts:
//   x' - mean(x') = P^T (x - mean(x))
// With r the share of the length^2 of x - mean(x) that P keeps, the deviations are related by
// s' = s sqrt(r H / w), so a norm g * z + b, z = (x - mean) / s, becomes
//   g' = sqrt(r H / w) diag(P^T diag(g) P),  b' = P^T b
// where gains are equal. Where they are not, P^T diag(g) P has a rest off its diagonal; g' and b' are then
// the line through what the texts show, of each feature j with p = column j of P, deviations from the means
// of z:
//   g'_j = sqrt(r H / w) E[(p.(g z)) (p.z)] / E[(p.z)^2],  b'_j = p.b + E[p.(g z)] - (the slope) E[p.z]
// with r and E measured for each norm. All of this is exact where the hidden states lie in the span (r = 1)
// and each norm's gains are all the same.
struct NarrowNorm {
  std::vector<float> gains, shift;  // [to]
};
struct WidthProjection {
  int64_t from = 0, to = 0;
  std::vector<double> basis;  // P [from, to], row-major
  std::map<std::string, NarrowNorm>
      norms;          // those the texts went through; others by the first formula, r = 1
  double energy = 1;  // share of the second moment within the span
};

// From the hidden states of calibration texts. kUnsupported for an encoder that is not post-norm with
// LayerNorm, attention and feed-forward; kInput for a width that is not in [2, H] or when no token was seen.
WidthProjection find_projection(const Model& model, int64_t width, const CalibrationRun& run,
                                ThreadPool& pool);
// The first `width` features: for a student whose weights will be drawn anew.
WidthProjection truncate_width(const Model& model, int64_t width);

// The model in the narrower width, a multiple of its head dimension; config.json and the
// Sentence-Transformers modules say so. A pooler or classifier's dense layer, whose activation no projection
// passes, keeps the `to` of its units that matter most (|row| * |column of what reads it|); the masked-LM
// head is projected on both sides, which its activation does not survive: a start for training. A dense layer
// after the pooling reads P; the embedding is narrower where there is none. Tensors that the description does
// not know and that have the old width go. `notes`: lines that say which of these happened.
Model project_width(const Model& model, const WidthProjection& projection, ThreadPool& pool,
                    std::vector<std::string>& notes);

}  // namespace penjing
