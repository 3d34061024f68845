// Block-sparse INT8 product on AVX2: rows are interleaved in pairs and widened to 16 bits, vpmaddwd sums
// exactly.
#include <immintrin.h>

#include "kernels/spmm_i8/format.h"

#define PENJING_INLINE static inline __attribute__((always_inline))

namespace penjing::spmm_i8::avx2 {

namespace {

PENJING_INLINE __m256i broadcast_pair(const int16_t* w) {
  int pair;
  __builtin_memcpy(&pair, w, 4);
  return _mm256_set1_epi32(pair);
}

// The float epilogue for 8 tokens of one output: the one of gemm_i8.
PENJING_INLINE void finish(const Args& args, int64_t output, int column, __m256i sum) {
  const __m256i zero_point = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(args.zero_point + column));
  const __m256i exact =
      _mm256_sub_epi32(sum, _mm256_mullo_epi32(zero_point, _mm256_set1_epi32(args.row_sum[output])));
  const __m256 scale =
      _mm256_mul_ps(_mm256_loadu_ps(args.scale_x + column), _mm256_set1_ps(args.scale_w[output]));
  __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(exact), scale);
  const int64_t at = output * args.width + column;
  if (args.bias != nullptr) y = _mm256_add_ps(y, _mm256_set1_ps(args.bias[output]));
  if (args.residual != nullptr) y = _mm256_add_ps(y, _mm256_loadu_ps(args.residual + at));
  _mm256_storeu_ps(args.y + at, y);
}

// Four outputs x 16 tokens from `column`.
PENJING_INLINE void multiply_group(const Args& args, const Quads<int16_t>& quads, int64_t group, int column) {
  __m256i sums[kOutputs][2];
  for (auto& row : sums) {
    for (auto& s : row) s = _mm256_setzero_si256();
  }
  const int32_t* input = quads.input + 4 * int64_t{quads.first[group]};
  const int16_t* w = quads.weight + 16 * int64_t{quads.first[group]};
  for (int32_t quad = quads.first[group]; quad < quads.first[group + 1]; ++quad, input += 4, w += 16) {
    for (int pair = 0; pair < 4; pair += 2) {
      const auto load = [&](int i) __attribute__((always_inline)) {
        return _mm_loadu_si128(
            reinterpret_cast<const __m128i*>(args.x + int64_t{input[i]} * args.width + column));
      };
      const __m128i r0 = load(pair), r1 = load(pair + 1);
      const __m256i low = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(r0, r1));
      const __m256i high = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(r0, r1));
      for (int o = 0; o < kOutputs; ++o) {
        const __m256i weight = broadcast_pair(w + 4 * o + pair);
        sums[o][0] = _mm256_add_epi32(sums[o][0], _mm256_madd_epi16(low, weight));
        sums[o][1] = _mm256_add_epi32(sums[o][1], _mm256_madd_epi16(high, weight));
      }
    }
  }
  for (int o = 0; o < kOutputs && group * kOutputs + o < args.n_end; ++o) {
    finish(args, group * kOutputs + o, column, sums[o][0]);
    finish(args, group * kOutputs + o, column + 8, sums[o][1]);
  }
}

void run(const Args& args) {
  const auto quads = unpack<int16_t>(args);
  for (int64_t group = args.n_begin / kOutputs; group * kOutputs < args.n_end; ++group) {
    for (int column = 0; column < args.width; column += 16) multiply_group(args, quads, group, column);
  }
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, 0.3, packed_bytes<int16_t>, pack<int16_t>, valid<int16_t>, run};

}  // namespace penjing::spmm_i8::avx2
