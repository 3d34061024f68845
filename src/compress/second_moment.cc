#include "compress/second_moment.h"

#include <algorithm>

#include "base/thread_pool.h"

namespace penjing {

void add_second_moment(std::span<const float> rows, int64_t dim, ThreadPool& pool,
                       std::vector<double>& second) {
  second.resize(static_cast<std::size_t>(dim * dim), 0);
  // Four rows at a time, as doubles, so that a line of the result is read and written once for all four; some
  // hundred together, so that they stay in the cache.
  constexpr int64_t kTogether = 128;
  const int64_t num_rows = static_cast<int64_t>(rows.size()) / dim;
  std::vector<double> values;
  for (int64_t begin = 0; begin < num_rows; begin += kTogether) {
    const int64_t count = std::min(kTogether, num_rows - begin), padded = (count + 3) / 4 * 4;
    values.assign(static_cast<std::size_t>(padded * dim), 0);
    std::copy_n(rows.data() + begin * dim, count * dim, values.begin());
    pool.parallel_for(dim, [&](int64_t i, int) {
      double* line = second.data() + i * dim;
      for (int64_t row = 0; row < padded; row += 4) {
        const double* x = values.data() + row * dim;
        const double a = x[i], b = x[dim + i], c = x[2 * dim + i], d = x[3 * dim + i];
        for (int64_t j = i; j < dim; ++j)
          line[j] += (a * x[j] + b * x[dim + j]) + (c * x[2 * dim + j] + d * x[3 * dim + j]);
      }
    });
  }
}

}  // namespace penjing
