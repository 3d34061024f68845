// Every one of the 2^32 FP32 values through the conversions to 16 bits, beside an independent definition
// (rounding in exact doubles) and, where the CPU has F16C, its own instruction. Prints the count of each and
// exits 1 on a difference.
//
//   exhaustive_numerics [THREADS]
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "base/thread_pool.h"
#include "numerics/float16.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

// Nearest multiple, ties to even, of the spacing of a format with `precision` significant bits whose smallest
// step is 2^least; infinite from `limit` on. Exact: an FP32 value scaled by a power of two is a double.
double round_to(double x, int precision, int least, double limit) {
  if (x == 0 || !std::isfinite(x)) return x;
  const int step = std::max(std::ilogb(x) + 1 - precision, least);
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(x, -step)), step);
  return std::abs(rounded) >= limit ? std::copysign(std::numeric_limits<double>::infinity(), x) : rounded;
}

#if defined(__x86_64__)
__attribute__((target("f16c"))) uint16_t half_by_instruction(float x) {
  return static_cast<uint16_t>(_mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT), 0));
}
#endif

bool same(double wanted, float found, bool negative) {
  if (std::isnan(wanted)) return std::isnan(found);
  return static_cast<double>(found) == wanted && std::signbit(found) == negative;
}

}  // namespace

int main(int argc, char** argv) {
  penjing::ThreadPool pool(argc > 1 ? std::atoi(argv[1]) : 0);
  std::atomic<int64_t> half_wrong{0}, brain_wrong{0}, instruction_wrong{0}, compared{0};
  bool f16c = false;
#if defined(__x86_64__)
  f16c = __builtin_cpu_supports("f16c") != 0;
#endif
  constexpr int64_t kChunk = 1 << 20;
  pool.parallel_for((int64_t{1} << 32) / kChunk, [&](int64_t chunk, int) {
    int64_t half_count = 0, brain_count = 0, instruction_count = 0;
    for (int64_t i = 0; i < kChunk; ++i) {
      const auto bits = static_cast<uint32_t>(chunk * kChunk + i);
      const float x = std::bit_cast<float>(bits);
      const bool negative = bits >> 31 != 0;
      const uint16_t half = penjing::float_to_half(x), brain = penjing::float_to_bfloat16(x);
      half_count += same(round_to(x, 11, -24, 65536), penjing::half_to_float(half), negative) ? 0 : 1;
      brain_count +=
          same(round_to(x, 8, -133, std::ldexp(1.0, 128)), penjing::bfloat16_to_float(brain), negative) ? 0
                                                                                                        : 1;
#if defined(__x86_64__)
      if (f16c) instruction_count += half_by_instruction(x) == half ? 0 : 1;
#endif
    }
    half_wrong += half_count, brain_wrong += brain_count, instruction_wrong += instruction_count;
    compared += kChunk;
  });
  std::printf("%lld values: fp16 %lld differ, bf16 %lld differ, fp16 against F16C %s%lld differ\n",
              static_cast<long long>(compared), static_cast<long long>(half_wrong),
              static_cast<long long>(brain_wrong), f16c ? "" : "(not on this CPU) ",
              static_cast<long long>(instruction_wrong));
  return half_wrong + brain_wrong + instruction_wrong == 0 ? 0 : 1;
}
