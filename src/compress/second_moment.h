#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace penjing {

class ThreadPool;

// Adds sum of x x^T over the rows [n, dim] to the upper triangle of `second` [dim, dim] (sized when empty),
// in double, in the order of the rows whatever the number of threads.
void add_second_moment(std::span<const float> rows, int64_t dim, ThreadPool& pool,
                       std::vector<double>& second);

}  // namespace penjing
