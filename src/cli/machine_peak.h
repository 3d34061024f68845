#pragma once

#include "base/thread_pool.h"

namespace penjing::cli {

enum class PeakKind { kFloat, kInteger };

// Operations a second (a product and a sum are two) that the machine reaches in this run: the product kernel
// of the kind on operands that stay in L1 and L2, on every thread of the pool; the best of 12 rounds.
double measure_peak(ThreadPool& pool, PeakKind kind);

}  // namespace penjing::cli
