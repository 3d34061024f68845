// INT8 product on AVX2. vpmaddubsw would saturate (255 * 127 * 2 > 32767), so both operands are widened to 16
// bits and vpmaddwd sums pairs exactly. Weights packed [ceil(N/8)][ceil(K/2)][8][2] s16: one 32-bit broadcast
// an output and pair of k.
#include <immintrin.h>

#include "kernels/gemm_i8/gemm_i8.h"

#define PENJING_INLINE static inline __attribute__((always_inline))

namespace penjing::gemm_i8::avx2 {

namespace {

// Pairs are counted over K rounded up to 4: the activation panel has those rows, zeroed.
int64_t pairs_of(int64_t k) {
  return (k + 3) / 4 * 2;
}

std::size_t packed_bytes(int64_t n, int64_t k) {
  return static_cast<std::size_t>((n + kOutputs - 1) / kOutputs * kOutputs * pairs_of(k) * 2) *
         sizeof(int16_t);
}

void pack(const int8_t* w, int64_t n, int64_t k, void* packed) {
  auto* out = static_cast<int16_t*>(packed);
  for (int64_t group = 0; group < n; group += kOutputs) {
    for (int64_t pair = 0; pair < pairs_of(k); ++pair) {
      for (int64_t o = group; o < group + kOutputs; ++o) {
        for (int64_t i = 2 * pair; i < 2 * pair + 2; ++i) *out++ = o < n && i < k ? w[o * k + i] : int16_t{0};
      }
    }
  }
}

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

// Four outputs x 16 tokens from `column`: 8 sums, 2 interleaved activation vectors, 1 weight, 1 product.
PENJING_INLINE void multiply_tile(const Args& args, const int16_t* w, int64_t first, int column) {
  constexpr int kTile = 4;
  __m256i sums[kTile][2];
  for (auto& row : sums) {
    for (auto& s : row) s = _mm256_setzero_si256();
  }
  const uint8_t* x = args.x + column;
  for (int64_t pair = pairs_of(args.k); pair > 0; --pair, x += 2 * args.width, w += 2 * kOutputs) {
    const __m128i r0 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
    const __m128i r1 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + args.width));
    const __m256i low = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(r0, r1));
    const __m256i high = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(r0, r1));
    for (int o = 0; o < kTile; ++o) {
      int both;
      __builtin_memcpy(&both, w + 2 * o, 4);
      const __m256i weight = _mm256_set1_epi32(both);
      sums[o][0] = _mm256_add_epi32(sums[o][0], _mm256_madd_epi16(low, weight));
      sums[o][1] = _mm256_add_epi32(sums[o][1], _mm256_madd_epi16(high, weight));
    }
  }
  for (int o = 0; o < kTile && first + o < args.n_end; ++o) {
    finish(args, first + o, column, sums[o][0]);
    finish(args, first + o, column + 8, sums[o][1]);
  }
}

void run(const Args& args) {
  const auto* packed = static_cast<const int16_t*>(args.w);
  for (int64_t group = args.n_begin; group < args.n_end; group += kOutputs) {
    const int16_t* w = packed + group * pairs_of(args.k) * 2;
    for (int column = 0; column < args.width; column += 16) {
      multiply_tile(args, w, group, column);
      multiply_tile(args, w + 8, group + 4, column);
    }
  }
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, packed_bytes, pack, run};

}  // namespace penjing::gemm_i8::avx2
