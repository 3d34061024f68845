#pragma once

#include <cstdint>

#include "model/description.h"

namespace penjing {

// The row of the bias table [num_buckets, num_heads] for a key that stands `distance` tokens behind its query
// (negative: before it): Raffel et al. 2020, bidirectional, with half of the buckets for each direction. Of a
// direction's b buckets the first e = b / 2 are the distances 0 .. e - 1; the others grow as logarithms up to
// max_distance, the last holds everything beyond:
//   e + min(b - e - 1, floor((b - e) log(|d| / e) / log(max_distance / e)))
// MPNet's keys behind the query have the upper half of the rows.
int64_t relative_bucket(int64_t distance, int64_t num_buckets, int64_t max_distance);

// Whether two blocks have the same bias: the table, and how it is read.
bool same_positions(const PositionSpec& a, const PositionSpec& b);

}  // namespace penjing
