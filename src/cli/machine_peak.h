#pragma once

#include "base/thread_pool.h"

namespace penjing::cli {

enum class PeakKind { kFloat, kInteger, kBfloat };

// Operations a second (a product and a sum are two) that the multipliers of the machine reach in this run, on
// every thread of the pool (kernels/peak); the best of 12 rounds of some milliseconds. 0 for bf16 on a CPU
// without that arithmetic.
double measure_peak(ThreadPool& pool, PeakKind kind);

}  // namespace penjing::cli
