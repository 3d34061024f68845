#pragma once

// What training needs beside simd/avx512.h: rows whose width is no multiple of the lanes, bfloat16, sums
// across lanes, Philox. In a file of its own, so that what runs models does not change with it.
#include "kernels/simd/avx512.h"

namespace {

struct RowVector : Vector {
  PENJING_INLINE Mask first_lanes(int64_t count) {
    return count >= kLanes ? Mask{0xffff} : static_cast<Mask>((1u << count) - 1);
  }
  PENJING_INLINE void store_first(float* p, Float v, int64_t count) {
    _mm512_mask_storeu_ps(p, first_lanes(count), v);
  }
  // bfloat16 is the upper half of a float.
  PENJING_INLINE Float widen_bf16(__m256i half) {
    return _mm512_castsi512_ps(
        _mm512_maskz_slli_epi32(0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, half), 16));
  }
  PENJING_INLINE Float load_bf16(const uint16_t* p) {
    return widen_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  PENJING_INLINE Float load_bf16_first(const uint16_t* p, int64_t count) {
    return widen_bf16(_mm256_maskz_loadu_epi16(first_lanes(count), p));
  }
  // To nearest even; a NaN stays one.
  PENJING_INLINE __m256i narrow_bf16(Float v) {
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_maskz_srli_epi32(0xffff, bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    const __m512i all = _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), rounded, quiet);
    return _mm512_maskz_cvtepi32_epi16(0xffff, _mm512_maskz_srli_epi32(0xffff, all, 16));
  }
  PENJING_INLINE void store_bf16(uint16_t* p, Float v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow_bf16(v));
  }
  PENJING_INLINE void store_bf16_first(uint16_t* p, Float v, int64_t count) {
    _mm256_mask_storeu_epi16(p, first_lanes(count), narrow_bf16(v));
  }
  PENJING_INLINE float sum(Float v) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_maskz_extractf32x8_ps(0xff, v, 1));
    __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    quarter = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
  }
  PENJING_INLINE float highest(Float v) {
    const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_maskz_extractf32x8_ps(0xff, v, 1));
    __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    quarter = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_max_ss(quarter, _mm_movehdup_ps(quarter)));
  }
  PENJING_INLINE Int xor_int(Int a, Int b) { return _mm512_xor_si512(a, b); }
  PENJING_INLINE Mask at_least_unsigned(Int a, Int b) { return _mm512_cmpge_epu32_mask(a, b); }
  // Of pairs of lanes, 64 bits together: the product of the lower ones; the upper one brought down; the lower
  // lane of a, then that of b; the first, or the second pair of each 128 bits of a, then that of b.
  PENJING_INLINE Int multiply_pairs(Int a, Int b) { return _mm512_maskz_mul_epu32(0xff, a, b); }
  PENJING_INLINE Int upper_of_pairs(Int a) { return _mm512_maskz_srli_epi64(0xff, a, 32); }
  PENJING_INLINE Int join_pairs(Int a, Int b) {
    return _mm512_mask_blend_epi32(0xaaaa, a, _mm512_maskz_slli_epi64(0xff, b, 32));
  }
  PENJING_INLINE Int first_pairs(Int a, Int b) { return _mm512_maskz_unpacklo_epi64(0xff, a, b); }
  PENJING_INLINE Int second_pairs(Int a, Int b) { return _mm512_maskz_unpackhi_epi64(0xff, a, b); }
};

}  // namespace
