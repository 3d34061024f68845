#pragma once

#include <immintrin.h>

#include <cstdint>

// The vector type of the AVX-512 kernels: 16 lanes. Same operations as simd/avx2.h; everything is inlined and
// has internal linkage, so that an ISA object exports nothing but its kernel record.
namespace {

#define PENJING_INLINE static inline __attribute__((always_inline))

struct Vector {
  static constexpr int kLanes = 16;
  using Float = __m512;
  using Int = __m512i;
  using Mask = __mmask16;

  PENJING_INLINE Float load(const float* p) { return _mm512_loadu_ps(p); }
  // The first `count` (up to all) lanes from memory, which is not read beyond them; the others 0.
  PENJING_INLINE Float load_first(const float* p, int64_t count) {
    return _mm512_maskz_loadu_ps(count >= kLanes ? 0xffff : static_cast<Mask>((1u << count) - 1), p);
  }
  PENJING_INLINE void store(float* p, Float v) { _mm512_storeu_ps(p, v); }
  PENJING_INLINE Float set(float v) { return _mm512_set1_ps(v); }
  PENJING_INLINE Float zero() { return _mm512_setzero_ps(); }
  PENJING_INLINE Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  PENJING_INLINE Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  PENJING_INLINE Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  PENJING_INLINE Float div(Float a, Float b) { return _mm512_div_ps(a, b); }
  PENJING_INLINE Float sqrt(Float a) { return _mm512_sqrt_ps(a); }
  PENJING_INLINE Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  // a < b ? a : b and a > b ? a : b: the second operand when either is NaN. All lanes by mask: GCC 12 takes
  // the plain forms for reads of something uninitialized.
  PENJING_INLINE Float min(Float a, Float b) { return _mm512_maskz_min_ps(0xffff, a, b); }
  PENJING_INLINE Float max(Float a, Float b) { return _mm512_maskz_max_ps(0xffff, a, b); }
  PENJING_INLINE Float round_even(Float a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  PENJING_INLINE Float abs(Float a) { return _mm512_abs_ps(a); }
  PENJING_INLINE Float copy_sign(Float magnitude, Float sign) {
    const __m512i mask = _mm512_set1_epi32(static_cast<int>(0x80000000u));
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_andnot_si512(mask, _mm512_castps_si512(magnitude)),
                                               _mm512_and_si512(mask, _mm512_castps_si512(sign))));
  }
  PENJING_INLINE Mask less(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  PENJING_INLINE Mask equal(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
  PENJING_INLINE Mask both(Mask a, Mask b) { return static_cast<Mask>(a & b); }
  PENJING_INLINE Float select(Mask m, Float yes, Float no) { return _mm512_mask_blend_ps(m, no, yes); }
  PENJING_INLINE Int as_int(Float a) { return _mm512_castps_si512(a); }
  PENJING_INLINE Float as_float(Int a) { return _mm512_castsi512_ps(a); }
  PENJING_INLINE Int add_int(Int a, Int b) { return _mm512_add_epi32(a, b); }
  template <int kBits>
  PENJING_INLINE Int shift_left(Int a) {
    return _mm512_slli_epi32(a, kBits);
  }
  PENJING_INLINE Int or_int(Int a, Int b) { return _mm512_or_si512(a, b); }
  PENJING_INLINE Int and_int(Int a, Int b) { return _mm512_and_si512(a, b); }
  PENJING_INLINE Int sub_int(Int a, Int b) { return _mm512_sub_epi32(a, b); }
  PENJING_INLINE Int max_int(Int a, Int b) { return _mm512_max_epi32(a, b); }
  PENJING_INLINE Int min_int(Int a, Int b) { return _mm512_min_epi32(a, b); }
  PENJING_INLINE Int max_bytes(Int a, Int b) { return _mm512_max_epu8(a, b); }
  PENJING_INLINE Int min_bytes(Int a, Int b) { return _mm512_min_epu8(a, b); }
  // Four numbers of a lane, saturated to [0, 255], as the bytes of its 32 bits, the first lowest.
  PENJING_INLINE Int pack_quads(Int a, Int b, Int c, Int d) {
    const Int bytes = _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    return _mm512_shuffle_epi8(
        bytes, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
  }
  PENJING_INLINE Int set_int(int32_t v) { return _mm512_set1_epi32(v); }
  PENJING_INLINE Int load_int(const int32_t* p) { return _mm512_loadu_si512(p); }
  // All lanes by mask: GCC 12 takes the plain form for a read of something uninitialized.
  PENJING_INLINE Float to_float(Int a) { return _mm512_maskz_cvtepi32_ps(0xffff, a); }
  // Low byte of each lane (values in [0, 255]).
  PENJING_INLINE void store_bytes(uint8_t* p, Int v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(v));
  }
  // table[index mod 16], lane by lane.
  PENJING_INLINE Float look_up_16(const float* table, Int index) {
    return _mm512_permutexvar_ps(index, _mm512_loadu_ps(table));
  }
  // GCC 12 takes the plain forms for reads of something uninitialized.
  PENJING_INLINE Int load_bytes(const uint8_t* p) {
    return _mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  PENJING_INLINE Int load_signed_bytes(const int8_t* p) {
    return _mm512_maskz_cvtepi8_epi32(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  // Eight floats, as often as they fit.
  PENJING_INLINE Float repeat_8(const float* p) {
    return _mm512_maskz_broadcast_f32x8(0xffff, _mm256_loadu_ps(p));
  }
  template <int kBits>
  PENJING_INLINE Int shift_right(Int a) {  // zeros come in
    return _mm512_maskz_srli_epi32(0xffff, a, kBits);
  }
  PENJING_INLINE Int to_int(Float a) { return _mm512_cvtps_epi32(a); }  // nearest-even
  PENJING_INLINE void store_int(int32_t* p, Int v) { _mm512_storeu_si512(p, v); }
};

}  // namespace
