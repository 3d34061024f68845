#pragma once

// What the AVX2 products of 7-bit weights share: the interleave of a quad's four rows and the loop over
// groups.
#include "kernels/gemm_i8/finish_256.h"
#include "kernels/spmm_i8/format.h"

namespace {

using penjing::spmm_i8::Args;

// The codes of a quad's four inputs and sixteen tokens: quads of tokens 0-3 and 8-11, of 4-7 and 12-15.
struct QuadCodes {
  __m256i first, second;
};

PENJING_INLINE QuadCodes load_quad(const Args& args, const int32_t* input, int column) {
  const auto load = [&](int i) __attribute__((always_inline)) {
    return _mm_loadu_si128(
        reinterpret_cast<const __m128i*>(args.x + int64_t{input[i]} * args.width + column));
  };
  const __m128i r0 = load(0), r1 = load(1), r2 = load(2), r3 = load(3);
  const __m256i r01 = _mm256_set_m128i(_mm_unpackhi_epi8(r0, r1), _mm_unpacklo_epi8(r0, r1));
  const __m256i r23 = _mm256_set_m128i(_mm_unpackhi_epi8(r2, r3), _mm_unpacklo_epi8(r2, r3));
  return {_mm256_unpacklo_epi16(r01, r23), _mm256_unpackhi_epi16(r01, r23)};
}

// accumulate(sums[4][2], input, w, quads, column) adds the products of a group's quads.
template <typename Accumulate>
PENJING_INLINE void multiply(const Args& args, Accumulate accumulate) {
  const auto quads = unpack<int8_t>(args);
  for (int64_t group = args.n_begin / kOutputs; group * kOutputs < args.n_end; ++group) {
    const int64_t first = quads.first[group];
    for (int column = 0; column < args.width; column += 16) {
      __m256i sums[kOutputs][2];
      for (auto& row : sums) {
        for (auto& sum : row) sum = _mm256_setzero_si256();
      }
      accumulate(sums, quads.input + 4 * first, quads.weight + 16 * first, quads.first[group + 1] - first,
                 column);
      for (int o = 0; o < kOutputs && group * kOutputs + o < args.n_end; ++o) {
        const int64_t output = group * kOutputs + o;
        finish(args, output, column, _mm256_permute2x128_si256(sums[o][0], sums[o][1], 0x20));
        finish(args, output, column + 8, _mm256_permute2x128_si256(sums[o][0], sums[o][1], 0x31));
      }
    }
  }
}

}  // namespace
