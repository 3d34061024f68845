#pragma once

#include "train/ranking_objective.h"

namespace penjing::train {

struct MiningSettings {
  int64_t count = 0;          // of each example
  int64_t from = 1, to = 50;  // ranks, from 1, among the texts that are not right for the anchor
  double margin = -2;         // cosine of the positive - of a negative, at least
  uint64_t seed = 1;
};

// Negatives of each example of `data`: texts of its corpus that the model ranks high and that are not right.
// Fewer than asked for where there are no more. `embeddings`: of data.texts, [texts, dim].
std::vector<std::vector<int64_t>> mine_negatives(const RankingData& data, const at::Tensor& embeddings,
                                                 const MiningSettings& settings);

}  // namespace penjing::train
