#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "model/model.h"

namespace penjing::cli {

// Divides by the Euclidean length, at least 1e-12.
inline void scale_to_one(std::vector<float>& row) {
  double sum = 0;
  for (const float x : row) sum += double{x} * x;
  const double length = std::max(std::sqrt(sum), 1e-12);
  for (float& x : row) x = static_cast<float>(x / length);
}

// Whether the model's sentence embeddings have length 1.
inline bool normalizes(const Model& model) {
  return std::any_of(model.sentence.modules.begin(), model.sentence.modules.end(),
                     [](const auto& module) { return module.kind == SentenceModule::Kind::kNormalize; });
}

}  // namespace penjing::cli
