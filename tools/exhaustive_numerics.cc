// Every one of the 2^32 FP32 values through every float format of src/numerics, by both deterministic
// roundings, with and without saturation: the array form beside the plain one; the plain one beside an
// independent definition (rounding in exact doubles); the 16-bit conversions of float16.h beside both and,
// where the CPU has F16C, beside its own instruction. Prints the number of differences of each and exits 1
// when there is one.
//
//   exhaustive_numerics [THREADS [SHARE]]      SHARE: every SHARE-th block of 2^20 values only
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

#include "base/thread_pool.h"
#include "numerics/float16.h"
#include "numerics/float_format.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

using penjing::FloatFormat;
using penjing::Overflow;
using penjing::Rounding;

constexpr int64_t kBlock = 1 << 20;
constexpr std::size_t kArray = 4096;

// Nearest multiple, ties to even, of the spacing at x; beyond the largest value infinity, or NaN in a format
// without it. Exact: an FP32 value scaled by a power of two is a double.
double round_by_definition(const FloatFormat& format, double x) {
  if (x == 0 || std::isnan(x)) return x;
  double rounded = x;
  if (std::isfinite(x)) {
    const int step = std::max(std::ilogb(x), 1 - format.bias) - format.mantissa_bits;
    rounded = std::ldexp(std::nearbyint(std::ldexp(x, -step)), step);
  }
  if (std::abs(rounded) <= format.largest()) return rounded;
  return format.has_infinity ? std::copysign(std::numeric_limits<double>::infinity(), x) : std::nan("");
}

bool same(double wanted, float found) {
  if (std::isnan(wanted)) return std::isnan(found);
  return wanted == static_cast<double>(found) && std::signbit(wanted) == std::signbit(found);
}

bool same_bits(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) || (std::isnan(a) && std::isnan(b));
}

#if defined(__x86_64__)
__attribute__((target("f16c"))) uint16_t half_by_instruction(float x) {
  return static_cast<uint16_t>(_mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT), 0));
}
#endif

struct Counts {
  int64_t values = 0, array = 0, definition = 0, halves = 0, instruction = 0;
};

void check_format(const FloatFormat& format, const std::vector<float>& values, std::vector<float>& rounded,
                  Counts& counts) {
  for (const Rounding rounding : {Rounding::kNearestEven, Rounding::kTowardZero}) {
    for (const Overflow overflow : {Overflow::kInfinity, Overflow::kSaturate}) {
      penjing::round_floats(format, rounding, overflow, values, rounded);
      const bool defined = rounding == Rounding::kNearestEven && overflow == Overflow::kInfinity;
      for (std::size_t i = 0; i < values.size(); ++i) {
        const float plain = penjing::decode(format, penjing::encode(format, values[i], rounding, overflow));
        counts.array += same_bits(plain, rounded[i]) ? 0 : 1;
        if (defined) counts.definition += same(round_by_definition(format, values[i]), plain) ? 0 : 1;
      }
    }
  }
}

void check_halves(const std::vector<float>& values, bool f16c, Counts& counts) {
  const FloatFormat &half = *penjing::find_float_format("fp16"), &brain = *penjing::find_float_format("bf16");
  for (const float x : values) {
    counts.halves += penjing::encode(half, x) == penjing::float_to_half(x) ? 0 : 1;
    counts.halves += penjing::encode(brain, x) == penjing::float_to_bfloat16(x) ? 0 : 1;
#if defined(__x86_64__)
    if (f16c) counts.instruction += half_by_instruction(x) == penjing::float_to_half(x) ? 0 : 1;
#endif
  }
}

}  // namespace

int main(int argc, char** argv) {
  penjing::ThreadPool pool(argc > 1 ? std::atoi(argv[1]) : 0);
  const int64_t share = argc > 2 ? std::max(1, std::atoi(argv[2])) : 1;
  bool f16c = false;
#if defined(__x86_64__)
  f16c = __builtin_cpu_supports("f16c") != 0;
#endif
  std::atomic<int64_t> compared{0}, array{0}, definition{0}, halves{0}, instruction{0};
  const int64_t blocks = (int64_t{1} << 32) / kBlock / share;
  pool.parallel_for(blocks, [&](int64_t block, int) {
    Counts counts;
    std::vector<float> values(kArray), rounded(kArray);
    for (int64_t begin = 0; begin < kBlock; begin += static_cast<int64_t>(kArray)) {
      for (std::size_t i = 0; i < kArray; ++i) {
        const int64_t bits = block * share * kBlock + begin + static_cast<int64_t>(i);
        values[i] = std::bit_cast<float>(static_cast<uint32_t>(bits));
      }
      for (const FloatFormat& format : penjing::float_formats())
        check_format(format, values, rounded, counts);
      check_halves(values, f16c, counts);
    }
    array += counts.array, definition += counts.definition, halves += counts.halves;
    instruction += counts.instruction;
    if ((compared += kBlock) % (int64_t{1} << 28) == 0)
      std::fprintf(stderr, "%lld values\n", static_cast<long long>(compared.load()));
  });
  std::printf(
      "%lld values, %zu formats, 2 roundings, with and without saturation: %lld differ between plain and "
      "array form, "
      "%lld from the definition, %lld from float16.h, %lld of fp16 from F16C%s\n",
      static_cast<long long>(compared), penjing::float_formats().size(), static_cast<long long>(array),
      static_cast<long long>(definition), static_cast<long long>(halves), static_cast<long long>(instruction),
      f16c ? "" : " (not on this CPU)");
  return array + definition + halves + instruction == 0 ? 0 : 1;
}
