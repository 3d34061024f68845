#include "compress/principal_components.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "compress/second_moment.h"
#include "numerics/symmetric_eigen.h"

namespace penjing {

double project_on_components(std::vector<float>& rows, int64_t width, int64_t dimensions, ThreadPool& pool) {
  const auto count = static_cast<int64_t>(rows.size()) / width;
  const auto n = static_cast<double>(count);
  const auto row = [&](int64_t i) { return rows.data() + i * width; };
  std::vector<double> mean(static_cast<std::size_t>(width), 0), covariance;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t k = 0; k < width; ++k) mean[static_cast<std::size_t>(k)] += double{row(i)[k]} / n;
  }
  pool.parallel_for(count, [&](int64_t i, int) {
    for (int64_t k = 0; k < width; ++k)
      row(i)[k] = static_cast<float>(double{row(i)[k]} - mean[static_cast<std::size_t>(k)]);
  });
  add_second_moment(rows, width, pool, covariance);
  for (int64_t i = 0; i < width; ++i) {  // decompose_symmetric reads the lower triangle
    for (int64_t j = 0; j < i; ++j)
      covariance[static_cast<std::size_t>(i * width + j)] =
          covariance[static_cast<std::size_t>(j * width + i)];
  }
  const SymmetricEigen eigen = decompose_symmetric(covariance, width);
  std::vector<float> projected(static_cast<std::size_t>(count * dimensions));
  pool.parallel_for(count, [&](int64_t i, int) {
    const float* x = row(i);
    for (int64_t d = 0; d < dimensions; ++d) {
      const double* direction = eigen.vectors.data() + d * width;
      double sum = 0;
      for (int64_t k = 0; k < width; ++k) sum += double{x[k]} * direction[k];
      projected[static_cast<std::size_t>(i * dimensions + d)] = static_cast<float>(sum);
    }
  });
  rows = std::move(projected);
  const auto sum_of = [&](int64_t first) {
    double sum = 0;
    for (int64_t d = 0; d < first; ++d) sum += std::max(eigen.values[static_cast<std::size_t>(d)], 0.0);
    return sum;
  };
  return sum_of(dimensions) / sum_of(width);
}

}  // namespace penjing
