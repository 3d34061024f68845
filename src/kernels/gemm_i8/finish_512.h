#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

// The epilogue of integer products, dense and sparse: scales the sums of one output and sixteen tokens and
// stores them.
template <typename Args>
static inline __attribute__((always_inline)) void finish(const Args& args, int64_t output, int column,
                                                         __m512i sum) {
  const __m512i zero_point = _mm512_loadu_si512(args.zero_point + column);
  const __m512i exact =
      _mm512_sub_epi32(sum, _mm512_mullo_epi32(zero_point, _mm512_set1_epi32(args.row_sum[output])));
  const __m512 scale =
      _mm512_mul_ps(_mm512_loadu_ps(args.scale_x + column), _mm512_set1_ps(args.scale_w[output]));
  __m512 y = _mm512_mul_ps(_mm512_maskz_cvtepi32_ps(0xffff, exact), scale);
  const int64_t at = output * args.width + column;
  if (args.bias != nullptr) y = _mm512_add_ps(y, _mm512_set1_ps(args.bias[output]));
  if (args.residual != nullptr) y = _mm512_add_ps(y, _mm512_loadu_ps(args.residual + at));
  _mm512_storeu_ps(args.y + at, y);
}

}  // namespace
