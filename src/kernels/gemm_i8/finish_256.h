#pragma once

#include <immintrin.h>

#include <cstdint>

#define PENJING_INLINE static inline __attribute__((always_inline))

namespace {

PENJING_INLINE __m256i broadcast_32_bits(const void* w) {
  int bits;
  __builtin_memcpy(&bits, w, 4);
  return _mm256_set1_epi32(bits);
}

// The epilogue of integer products, dense and sparse: scales the sums of one output and eight tokens and
// stores them.
template <typename Args>
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

}  // namespace
