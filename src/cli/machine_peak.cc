#include "cli/machine_peak.h"

#include <algorithm>
#include <chrono>

#include "kernels/peak/peak.h"

namespace penjing::cli {

using Clock = std::chrono::steady_clock;

double measure_peak(ThreadPool& pool, PeakKind kind) {
  const peak::Kernel& kernel = peak::select();
  auto* const run = kind == PeakKind::kFloat     ? kernel.f32
                    : kind == PeakKind::kInteger ? kernel.i8
                                                 : kernel.bf16;
  if (run == nullptr) return 0;
  constexpr int64_t kIterations = 20000;  // 0.1 ms where an iteration takes 16 cycles
  const int64_t chunks = pool.num_threads() * 8;
  double best = 0;
  for (int round = 0; round < 12; ++round) {
    const auto begin = Clock::now();
    pool.parallel_for(chunks, [&](int64_t, int) { run(kIterations); });
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    best = std::max(best, static_cast<double>(chunks * run(1) * kIterations) / seconds);
  }
  return best;
}

}  // namespace penjing::cli
