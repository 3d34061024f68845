#pragma once

// What training needs beside simd/avx2.h: rows whose width is no multiple of the lanes, bfloat16, sums across
// lanes, Philox. In a file of its own, so that what runs models does not change with it.
#include "kernels/simd/avx2.h"

namespace {

struct RowVector : Vector {
  PENJING_INLINE void store_first(float* p, Float v, int64_t count) {
    if (count >= kLanes) return store(p, v);
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_maskstore_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane), v);
  }
  // bfloat16 is the upper half of a float.
  PENJING_INLINE Float load_bf16(const uint16_t* p) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
  }
  PENJING_INLINE Float load_bf16_first(const uint16_t* p, int64_t count) {
    if (count >= kLanes) return load_bf16(p);
    uint16_t first[kLanes] = {};
    for (int64_t i = 0; i < count; ++i) first[i] = p[i];
    return load_bf16(first);
  }
  // To nearest even; a NaN stays one.
  PENJING_INLINE void store_bf16(uint16_t* p, Float v) {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i high = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1)));
  }
  PENJING_INLINE void store_bf16_first(uint16_t* p, Float v, int64_t count) {
    if (count >= kLanes) return store_bf16(p, v);
    uint16_t first[kLanes];
    store_bf16(first, v);
    for (int64_t i = 0; i < count; ++i) p[i] = first[i];
  }
  PENJING_INLINE float sum(Float v) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
  }
  PENJING_INLINE float highest(Float v) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
  }
  PENJING_INLINE Int xor_int(Int a, Int b) { return _mm256_xor_si256(a, b); }
  PENJING_INLINE Mask at_least_unsigned(Int a, Int b) {
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_max_epu32(a, b), a));
  }
  // Of pairs of lanes, 64 bits together: the product of the lower ones; the upper one brought down; the lower
  // lane of a, then that of b; the first, or the second pair of each 128 bits of a, then that of b.
  PENJING_INLINE Int multiply_pairs(Int a, Int b) { return _mm256_mul_epu32(a, b); }
  PENJING_INLINE Int upper_of_pairs(Int a) { return _mm256_srli_epi64(a, 32); }
  PENJING_INLINE Int join_pairs(Int a, Int b) {
    return _mm256_blend_epi32(a, _mm256_slli_epi64(b, 32), 0xaa);
  }
  PENJING_INLINE Int first_pairs(Int a, Int b) { return _mm256_unpacklo_epi64(a, b); }
  PENJING_INLINE Int second_pairs(Int a, Int b) { return _mm256_unpackhi_epi64(a, b); }
};

}  // namespace
