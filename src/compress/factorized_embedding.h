#pragma once

#include <cstdint>

#include "model/model.h"

namespace penjing {

class ThreadPool;

struct FactorizedEmbedding {
  Model model;
  double energy = 0;  // share of the tables' variance that the narrow ones hold
  double error = 0;   // of the embedding's output over the vocabulary: |difference|^2 / |output|^2
};

// A BERT whose embeddings are `width` < hidden wide and projected behind their norm (ALBERT's factorisation,
// Lan et al. 2020, section 3.1), which is an ELECTRA (model/architectures/electra.cc) with the same layers:
//   tables  rows of words, positions and types on their first `width` principal components, of all together
//   norm    gain 1, shift 0
//   W, b    least squares, over every word at some position, of the output that BERT's embedding has
// A classifier's dense layer becomes ELECTRA's, whose activation is another; pooler and masked-LM head, of
// which ELECTRA has none or a narrow one, go. kUnsupported for another family, kInput for a width that is not
// below hidden.
FactorizedEmbedding factorize_embedding(const Model& bert, int64_t width, ThreadPool& pool);

}  // namespace penjing
