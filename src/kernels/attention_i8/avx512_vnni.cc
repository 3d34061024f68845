#include "kernels/simd/avx512.h"

namespace {

// Codes are bytes: a quad is 32 bits, broadcast by vpdpbusd itself.
struct Dot {
  using Code = int8_t;

  static constexpr int kTokens = 16, kKeyFeatures = 4, kValueFeatures = 1;

  PENJING_INLINE void store_keys(Code* keys, int64_t tokens, int64_t, int64_t token, int64_t feature,
                                 const Vector::Int (&code)[4]) {
    Code* p = keys + (feature / 4 * tokens + token) * 4;
    const __m512i byte = _mm512_set1_epi32(0xff);
    const __m512i low = _mm512_or_si512(_mm512_and_si512(code[0], byte),
                                        _mm512_slli_epi32(_mm512_and_si512(code[1], byte), 8));
    const __m512i high = _mm512_or_si512(_mm512_and_si512(code[2], byte),
                                         _mm512_slli_epi32(_mm512_and_si512(code[3], byte), 8));
    _mm512_storeu_si512(p, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
  }
  PENJING_INLINE void store_row(Code* p, Vector::Int code) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(code));
  }
  PENJING_INLINE Vector::Int add(Vector::Int sum, Vector::Int quads, const Code* code) {
    int quad;
    __builtin_memcpy(&quad, code, 4);
    return _mm512_dpbusd_epi32(sum, quads, _mm512_set1_epi32(quad));
  }
};

}  // namespace

#include "kernels/attention_i8/attention_i8_simd.h"

namespace penjing::attention_i8::avx512_vnni {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512Vnni, 0, prepared_bytes, scratch_bytes, prepare, run};
}  // namespace penjing::attention_i8::avx512_vnni
