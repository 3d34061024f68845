#pragma once

// The epilogue of integer products in 512 bits, dense and sparse, over simd/avx512.h: scales the sums of one
// output and sixteen tokens, applies the activation and stores them.
#include <immintrin.h>

#include <cstdint>

#include "kernels/simd/avx512.h"
//
#include "kernels/pointwise/functions_simd.h"

namespace {

// What an epilogue needs of sixteen tokens. zero: for each the pair of 16 bits (z, z << 7), because vpdpwssd
// multiplies by pairs: with w = low + 128 high, 0 <= low < 128, z w = z low + (z << 7) high, exactly.
struct Tokens {
  __m512i zero;
  __m512 scale;
};

template <typename Args>
PENJING_INLINE Tokens tokens_at(const Args& args, int column) {
  const __m512i zero = _mm512_loadu_si512(args.zero_point + column);
  return {_mm512_or_si512(zero, _mm512_slli_epi32(zero, 23)), _mm512_loadu_ps(args.scale_x + column)};
}

// sum - zero_point * row_sum. |row_sum| < 2^22 (gemm_i8.h).
PENJING_INLINE __m512i without_zero_point(__m512i sum, const Tokens& tokens, int32_t row_sum) {
  const int32_t minus = -row_sum, low = minus & 127, high = minus >> 7;
  return _mm512_dpwssd_epi32(
      sum, tokens.zero, _mm512_set1_epi32(static_cast<int32_t>(static_cast<uint32_t>(high) << 16) | low));
}

// `kCount` vectors of one output, the tokens of sum[i] from column + 16 i.
template <int kCount, typename Args>
PENJING_INLINE void finish(const Args& args, const Tokens (&tokens)[kCount], int64_t output, int column,
                           const __m512i (&sum)[kCount]) {
  using penjing::pointwise::Function;
  const __m512 scale = _mm512_set1_ps(args.scale_w[output]);
  const int64_t at = output * args.width + column;
  __m512 y[kCount];
  for (int i = 0; i < kCount; ++i) {
    const __m512i exact = without_zero_point(sum[i], tokens[i], args.row_sum[output]);
    y[i] = _mm512_mul_ps(Vector::to_float(exact), _mm512_mul_ps(tokens[i].scale, scale));
  }
  if (args.bias != nullptr) {
    for (auto& value : y) value = _mm512_add_ps(value, _mm512_set1_ps(args.bias[output]));
  }
  if (args.activation != Function::kNone) activate(args.activation, y);
  if (args.residual != nullptr) {
    for (int i = 0; i < kCount; ++i) y[i] = _mm512_add_ps(y[i], _mm512_loadu_ps(args.residual + at + 16 * i));
  }
  for (int i = 0; i < kCount; ++i) _mm512_storeu_ps(args.y + at + 16 * i, y[i]);
}

}  // namespace
