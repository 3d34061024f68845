#include "kernels/simd/avx2.h"

namespace {

// Codes are 16 bits wide, the four of a quad in the order 0 2 1 3: a mask and a shift widen unsigned bytes
// into the pairs 0 2 and 1 3, and vpmaddwd sums products of pairs exactly (gemm_i8/avx2.cc).
struct Dot {
  using Code = int16_t;

  static constexpr int kTokens = 16, kKeyFeatures = 4, kValueFeatures = 1;

  PENJING_INLINE void store_keys(Code* keys, int64_t tokens, int64_t, int64_t token, int64_t feature,
                                 const Vector::Int (&code)[4]) {
    Code* p = keys + (feature / 4 * tokens + token) * 4;
    const __m256i low = _mm256_set1_epi32(0xffff);
    const __m256i even = _mm256_or_si256(_mm256_and_si256(code[0], low), _mm256_slli_epi32(code[2], 16));
    const __m256i odd = _mm256_or_si256(_mm256_and_si256(code[1], low), _mm256_slli_epi32(code[3], 16));
    const __m256i a = _mm256_unpacklo_epi32(even, odd), b = _mm256_unpackhi_epi32(even, odd);
    auto* out = reinterpret_cast<__m256i*>(p);
    _mm256_storeu_si256(out, _mm256_permute2x128_si256(a, b, 0x20));
    _mm256_storeu_si256(out + 1, _mm256_permute2x128_si256(a, b, 0x31));
  }
  PENJING_INLINE void store_row(Code* p, Vector::Int code) {
    const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_shuffle_epi8(words, order));
  }
  PENJING_INLINE Vector::Int add(Vector::Int sum, Vector::Int quads, const Code* code) {
    int even, odd;
    __builtin_memcpy(&even, code, 4);
    __builtin_memcpy(&odd, code + 2, 4);
    const __m256i even_x = _mm256_and_si256(quads, _mm256_set1_epi16(0xff)),
                  odd_x = _mm256_srli_epi16(quads, 8);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(even_x, _mm256_set1_epi32(even)));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(odd_x, _mm256_set1_epi32(odd)));
  }
};

}  // namespace

#include "kernels/attention_i8/attention_i8_simd.h"

namespace penjing::attention_i8::avx2 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, 0, prepared_bytes, scratch_bytes, prepare, run};
}  // namespace penjing::attention_i8::avx2
