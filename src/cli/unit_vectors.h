#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace penjing::cli {

// Divides by the Euclidean length, at least 1e-12.
inline void scale_to_one(std::vector<float>& row) {
  double sum = 0;
  for (const float x : row) sum += double{x} * x;
  const double length = std::max(std::sqrt(sum), 1e-12);
  for (float& x : row) x = static_cast<float>(x / length);
}

}  // namespace penjing::cli
