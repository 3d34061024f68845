#include "model/relative_positions.h"

#include <algorithm>
#include <cmath>

namespace penjing {

int64_t relative_bucket(int64_t distance, int64_t num_buckets, int64_t max_distance) {
  const int64_t each = num_buckets / 2, exact = each / 2, apart = std::abs(distance);
  const int64_t first = distance > 0 ? each : 0;
  if (apart < exact) return first + apart;
  // Where the logarithm is a whole number (a power of two times `exact`) rounding must not take one away;
  // other distances are further from one than this.
  constexpr double kRounding = 1e-9;
  const auto ratio = [&](int64_t d) { return std::log(static_cast<double>(d) / static_cast<double>(exact)); };
  const double place = static_cast<double>(each - exact) * ratio(apart) / ratio(max_distance);
  const auto large = exact + static_cast<int64_t>(std::min(place + kRounding, static_cast<double>(each)));
  return first + std::min(large, each - 1);
}

bool same_positions(const PositionSpec& a, const PositionSpec& b) {
  return a.scheme == b.scheme && a.name == b.name && a.num_buckets == b.num_buckets &&
         a.max_distance == b.max_distance;
}

}  // namespace penjing
