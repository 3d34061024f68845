#pragma once

#include <cstdint>
#include <vector>

namespace penjing {

class ThreadPool;

// Rows [n, width] become [n, dimensions]: less their mean, their components along the `dimensions` <= width
// directions of largest variance. Returns the share of the variance that these hold. In double, the same bits
// on any number of threads.
double project_on_components(std::vector<float>& rows, int64_t width, int64_t dimensions, ThreadPool& pool);

}  // namespace penjing
