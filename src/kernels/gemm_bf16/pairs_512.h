#pragma once

// What the BF16 products of 512 bits share: the conversion of panels and the epilogue.
#include <immintrin.h>

#include "kernels/gemm_bf16/gemm_bf16.h"
#include "kernels/simd/avx512.h"
//
#include "kernels/pointwise/functions_simd.h"

namespace {

// Sixteen values to the low halves of 32-bit lanes.
PENJING_INLINE __m512i round_16(const float* x) {
  return _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_loadu_ps(x))));
}

void convert(const float* x, int64_t features, int width, uint16_t* pairs) {
  for (int64_t f = 0; f < features; f += 2) {
    for (int t = 0; t < width; t += 16) {
      __m512i pair = round_16(x + f * width + t);
      if (f + 1 < features) {
        pair = _mm512_or_si512(pair, _mm512_slli_epi32(round_16(x + (f + 1) * width + t), 16));
      }
      _mm512_storeu_si512(pairs + (f / 2 * width + t) * 2, pair);
    }
  }
}

// Stores the sums of one output, the tokens of y[i] from column + 16 i.
template <int kCount>
PENJING_INLINE void finish(const penjing::gemm_bf16::Args& args, int64_t output, int column,
                           __m512 (&y)[kCount]) {
  const int64_t at = output * args.width + column;
  if (args.bias != nullptr) {
    for (auto& value : y) value = _mm512_add_ps(value, _mm512_set1_ps(args.bias[output]));
  }
  if (args.activation != penjing::pointwise::Function::kNone) activate(args.activation, y);
  for (int i = 0; i < kCount; ++i) {
    if (args.residual != nullptr) y[i] = _mm512_add_ps(y[i], _mm512_loadu_ps(args.residual + at + 16 * i));
    _mm512_storeu_ps(args.y + at + 16 * i, y[i]);
  }
}

}  // namespace
