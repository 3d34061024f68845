#pragma once

#include "base/thread_pool.h"

namespace penjing::cli {

// Bytes a second that all threads of the pool together read from memory: the best of 5 rounds over a buffer
// of four times the last cache, 64 to 256 MB.
double measure_bandwidth(ThreadPool& pool);

}  // namespace penjing::cli
