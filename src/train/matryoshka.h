#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/json.h"
#include "model/model.h"
#include "train/chunked_loss.h"

namespace penjing::train {

// Matryoshka embeddings (Kusupati et al. 2022, arXiv:2205.13147; Sentence-Transformers' MatryoshkaLoss): the
// first d numbers of an embedding are an embedding themselves, for each of some widths d:
//   loss = sum over k of weights[k] * loss(first dims[k] numbers)
// The whole counts only where it is one of the dims. What is cut is scaled to length 1 again where the
// model's own embeddings are, as `penjing embed --dimensions` does; losses of cosines do not see the
// difference.
struct Matryoshka {
  std::vector<int64_t> dims;  // empty: the whole alone
  std::vector<double> weights;
};

// dims: [64, 128], 64, or "64,128"; weights likewise, null or empty: all 1. kInput, naming "matryoshka" or
// "matryoshka_weights", for anything else, a width of 0 or less, one given twice, or another number of
// weights.
Matryoshka read_matryoshka(const Json& dims, const Json& weights);
// Numbers of a sentence embedding of the model.
int64_t embedding_width(const Model& model);
// kInput when a width is larger than `width`.
void require_dimensions(const Matryoshka& matryoshka, int64_t width);

// Whether the model's sentence embeddings have length 1: its last module says so.
bool has_unit_embeddings(const Model& model);

// rows [n, width] -> [n, dim]; of length 1 if `unit`.
at::Tensor first_dimensions(const at::Tensor& rows, int64_t dim, bool unit);

// The sum above, of a loss at each of the dims, of which there are some.
at::Tensor sum_over_dimensions(const Matryoshka& matryoshka,
                               const std::function<at::Tensor(int64_t dim)>& loss_at);
// The same of a loss of embeddings; `loss_of` itself without dims.
EmbeddingLoss at_dimensions(const Matryoshka& matryoshka, bool unit, EmbeddingLoss loss_of);

}  // namespace penjing::train
