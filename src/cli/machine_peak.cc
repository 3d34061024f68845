#include "cli/machine_peak.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/aligned.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_i8/gemm_i8.h"

namespace penjing::cli {

using Clock = std::chrono::steady_clock;

double measure_peak(ThreadPool& pool, PeakKind kind) {
  const bool integer = kind == PeakKind::kInteger;
  constexpr int64_t kK = 256, kN = 48;
  constexpr int kWidth = 64;
  double best = 0;
  std::vector<float> w(kN * kK, 0.5f);
  std::vector<int8_t> w8(kN * kK, 3);
  const auto& f32 = gemm_f32::select();
  const auto& i8 = gemm_i8::select();
  AlignedBuffer<std::byte> packed(integer ? i8.packed_bytes(kN, kK) : f32.packed_bytes(kN, kK));
  if (integer) {
    i8.pack(w8.data(), kN, kK, packed.data());
  } else {
    f32.pack(w.data(), kN, kK, packed.data());
  }
  struct Scratch {
    AlignedBuffer<float> x{kK * kWidth}, y{kN * kWidth}, scale{kN + kWidth};
    AlignedBuffer<uint8_t> codes{kK * kWidth};
    AlignedBuffer<int32_t> zero{kN + kWidth};
  };
  std::vector<Scratch> scratch(static_cast<std::size_t>(pool.num_threads()));
  for (auto& s : scratch)
    std::fill(s.x.begin(), s.x.end(), 0.25f), std::fill(s.codes.begin(), s.codes.end(), uint8_t{7});
  constexpr int kRepeats = 200;
  for (int round = 0; round < 12; ++round) {
    const auto begin = Clock::now();
    pool.parallel_for(pool.num_threads() * 4, [&](int64_t, int thread) {
      Scratch& s = scratch[static_cast<std::size_t>(thread)];
      for (int i = 0; i < kRepeats; ++i) {
        if (integer) {
          i8.run({s.codes.data(), s.scale.data(), s.zero.data(), packed.data(), s.scale.data(), s.zero.data(),
                  nullptr, nullptr, s.y.data(), kK, 0, kN, kWidth});
        } else {
          f32.run({s.x.data(), packed.data(), nullptr, nullptr, s.y.data(), kK, 0, kN, kWidth});
        }
      }
    });
    const double work = 2.0 * kK * kN * kWidth * kRepeats * pool.num_threads() * 4;
    best = std::max(best, work / std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return best;
}

}  // namespace penjing::cli
