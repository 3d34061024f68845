#include "model/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace penjing {

namespace {

constexpr int64_t kBlock = 1 << 14;

template <typename Visit>
void for_each_block(const Tensor& tensor, const std::string& name, Visit visit) {
  const int64_t count = tensor.size();
  std::vector<float> block;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    block.resize(static_cast<std::size_t>(std::min(kBlock, count - begin)));
    read_floats(tensor, begin, block, name);
    visit(block);
  }
}

void measure_patterns(const Tensor& tensor, const std::string& name, TensorStatistics& s) {
  if (tensor.shape.size() != 2 || tensor.size() == 0) return;
  const int64_t rows = tensor.shape[0], columns = tensor.shape[1];
  std::vector<float> row(static_cast<std::size_t>(columns));
  std::vector<uint8_t> all_zero(static_cast<std::size_t>(columns));
  int64_t blocks = 0, zero_blocks = 0, groups = 0, sparse_groups = 0;
  for (int64_t r = 0; r < rows; ++r) {
    read_floats(tensor, r * columns, row, name);
    if (r % 4 == 0) std::fill(all_zero.begin(), all_zero.end(), uint8_t{1});
    for (std::size_t c = 0; c < row.size(); ++c)
      all_zero[c] = static_cast<uint8_t>(all_zero[c] & (row[c] == 0 ? 1 : 0));
    if (r % 4 == 3) {
      blocks += columns;
      zero_blocks += std::count(all_zero.begin(), all_zero.end(), uint8_t{1});
    }
    for (std::size_t c = 0; c + 4 <= row.size(); c += 4) {
      ++groups;
      sparse_groups += std::count(row.begin() + static_cast<std::ptrdiff_t>(c),
                                  row.begin() + static_cast<std::ptrdiff_t>(c) + 4, 0.0f) >= 2
                           ? 1
                           : 0;
    }
  }
  s.zeros_4x1 = blocks > 0 ? static_cast<double>(zero_blocks) / static_cast<double>(blocks) : 0;
  s.pairs_2of4 = groups > 0 ? static_cast<double>(sparse_groups) / static_cast<double>(groups) : 0;
}

}  // namespace

TensorStatistics measure_tensor(const Tensor& tensor, const std::string& name) {
  TensorStatistics s;
  s.min = std::numeric_limits<double>::infinity();
  s.max = -s.min;
  double sum = 0, squares = 0;
  int64_t zeros = 0, finite = 0;
  for_each_block(tensor, name, [&](const std::vector<float>& block) {
    for (const float x : block) {
      if (!std::isfinite(x)) {
        ++s.not_finite;
        continue;
      }
      ++finite;
      s.min = std::min<double>(s.min, x);
      s.max = std::max<double>(s.max, x);
      sum += x;
      squares += double{x} * x;
      zeros += x == 0 ? 1 : 0;
    }
  });
  if (finite == 0) return s.min = s.max = 0, s;
  const auto count = static_cast<double>(finite);
  s.mean = sum / count;
  s.deviation = std::sqrt(std::max(0.0, squares / count - s.mean * s.mean));
  s.zeros = static_cast<double>(zeros) / count;
  const double rms = std::sqrt(squares / count);
  s.outlier = rms > 0 ? std::max(std::fabs(s.min), std::fabs(s.max)) / rms : 0;
  int64_t beyond = 0;
  for_each_block(tensor, name, [&](const std::vector<float>& block) {
    for (const float x : block) beyond += std::fabs(x - s.mean) > 6 * s.deviation ? 1 : 0;
  });
  s.beyond_six = s.deviation > 0 ? static_cast<double>(beyond) / count : 0;
  measure_patterns(tensor, name, s);
  return s;
}

}  // namespace penjing
