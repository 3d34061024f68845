#pragma once

#include <immintrin.h>

#include <cstdint>

// The vector type of the AVX2 + FMA kernels: 8 lanes. See simd/avx512.h.
namespace {

#define PENJING_INLINE static inline __attribute__((always_inline))

struct Vector {
  static constexpr int kLanes = 8;
  using Float = __m256;
  using Int = __m256i;
  using Mask = __m256;

  PENJING_INLINE Float load(const float* p) { return _mm256_loadu_ps(p); }
  // The first `count` (up to all) lanes from memory, which is not read beyond them; the others 0.
  PENJING_INLINE Float load_first(const float* p, int64_t count) {
    if (count >= kLanes) return load(p);
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane));
  }
  PENJING_INLINE void store(float* p, Float v) { _mm256_storeu_ps(p, v); }
  PENJING_INLINE Float set(float v) { return _mm256_set1_ps(v); }
  PENJING_INLINE Float zero() { return _mm256_setzero_ps(); }
  PENJING_INLINE Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  PENJING_INLINE Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  PENJING_INLINE Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  PENJING_INLINE Float div(Float a, Float b) { return _mm256_div_ps(a, b); }
  PENJING_INLINE Float sqrt(Float a) { return _mm256_sqrt_ps(a); }
  PENJING_INLINE Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  // a < b ? a : b and a > b ? a : b: the second operand when either is NaN.
  PENJING_INLINE Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  PENJING_INLINE Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  PENJING_INLINE Float round_even(Float a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  PENJING_INLINE Float abs(Float a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
  PENJING_INLINE Float copy_sign(Float magnitude, Float sign) {
    const __m256 mask = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(mask, magnitude), _mm256_and_ps(mask, sign));
  }
  PENJING_INLINE Mask less(Float a, Float b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  PENJING_INLINE Mask equal(Float a, Float b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
  PENJING_INLINE Mask both(Mask a, Mask b) { return _mm256_and_ps(a, b); }
  PENJING_INLINE Float select(Mask m, Float yes, Float no) { return _mm256_blendv_ps(no, yes, m); }
  PENJING_INLINE Int as_int(Float a) { return _mm256_castps_si256(a); }
  PENJING_INLINE Float as_float(Int a) { return _mm256_castsi256_ps(a); }
  PENJING_INLINE Int add_int(Int a, Int b) { return _mm256_add_epi32(a, b); }
  template <int kBits>
  PENJING_INLINE Int shift_left(Int a) {
    return _mm256_slli_epi32(a, kBits);
  }
  PENJING_INLINE Int or_int(Int a, Int b) { return _mm256_or_si256(a, b); }
  PENJING_INLINE Int and_int(Int a, Int b) { return _mm256_and_si256(a, b); }
  PENJING_INLINE Int sub_int(Int a, Int b) { return _mm256_sub_epi32(a, b); }
  PENJING_INLINE Int max_int(Int a, Int b) { return _mm256_max_epi32(a, b); }
  PENJING_INLINE Int min_int(Int a, Int b) { return _mm256_min_epi32(a, b); }
  PENJING_INLINE Int max_bytes(Int a, Int b) { return _mm256_max_epu8(a, b); }
  PENJING_INLINE Int min_bytes(Int a, Int b) { return _mm256_min_epu8(a, b); }
  // Four numbers of a lane, saturated to [0, 255], as the bytes of its 32 bits, the first lowest.
  PENJING_INLINE Int pack_quads(Int a, Int b, Int c, Int d) {
    const Int bytes = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    return _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2,
                                                                                6, 10, 14, 3, 7, 11, 15)));
  }
  PENJING_INLINE Int set_int(int32_t v) { return _mm256_set1_epi32(v); }
  PENJING_INLINE Int load_int(const int32_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  PENJING_INLINE Float to_float(Int a) { return _mm256_cvtepi32_ps(a); }
  // Low byte of each lane (values in [0, 255]).
  PENJING_INLINE void store_bytes(uint8_t* p, Int v) {
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
  }
  // table[index mod 16], lane by lane: vpermps reads the low three bits, the fourth chooses the half.
  PENJING_INLINE Float look_up_16(const float* table, Int index) {
    const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), index);
    const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), index);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
  }
  PENJING_INLINE Int load_bytes(const uint8_t* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  PENJING_INLINE Int load_signed_bytes(const int8_t* p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  PENJING_INLINE Float repeat_8(const float* p) { return load(p); }  // eight floats, as often as they fit
  template <int kBits>
  PENJING_INLINE Int shift_right(Int a) {  // zeros come in
    return _mm256_srli_epi32(a, kBits);
  }
  PENJING_INLINE Int to_int(Float a) { return _mm256_cvtps_epi32(a); }  // nearest-even
  PENJING_INLINE void store_int(int32_t* p, Int v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
};

}  // namespace
