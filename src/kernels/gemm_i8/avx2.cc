// INT8 product on AVX2 of any 8-bit weights and codes. vpmaddubsw would saturate (255 * 127 * 2 > 32767), so
// both operands are widened to 16 bits and vpmaddwd sums pairs exactly. Weights in 16 bits, the four of a
// quad in the order 0 2 1 3: a mask and a shift widen the codes of a token into the pairs 0 2 and 1 3.
#include "kernels/gemm_i8/tile_256.h"

namespace penjing::gemm_i8::avx2 {

namespace {

// 8 sums, 4 vectors of widened codes, 1 weight, 1 product.
constexpr int kVectors = 2;

PENJING_INLINE void accumulate(__m256i (&sums)[4][kVectors], const uint8_t* x, const int16_t* w,
                               int64_t stride, int64_t quads) {
  const __m256i low_bytes = _mm256_set1_epi16(0xff);
  for (; quads > 0; --quads, x += stride, w += 4 * kOutputs) {
    __m256i even[kVectors], odd[kVectors];  // codes 0 and 2, 1 and 3 of each token
    for (int v = 0; v < kVectors; ++v) {
      const __m256i codes = load_codes(x + 32 * v);
      even[v] = _mm256_and_si256(codes, low_bytes);
      odd[v] = _mm256_srli_epi16(codes, 8);
    }
    for (int o = 0; o < 4; ++o) {
      const __m256i even_weight = broadcast_32_bits(w + 4 * o), odd_weight = broadcast_32_bits(w + 4 * o + 2);
      for (int v = 0; v < kVectors; ++v) {
        sums[o][v] = _mm256_add_epi32(sums[o][v], _mm256_madd_epi16(even[v], even_weight));
        sums[o][v] = _mm256_add_epi32(sums[o][v], _mm256_madd_epi16(odd[v], odd_weight));
      }
    }
  }
}

void run(const Args& args) {
  multiply<int16_t, kVectors>(
      args, [](auto&&... tile) __attribute__((always_inline)) { accumulate(tile...); });
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {
    Isa::kAvx2, "avx2", kAnyCodes, false, 0.3, packed_bytes<int16_t>, pack<int16_t, 0, 2, 1, 3>, run};

}  // namespace penjing::gemm_i8::avx2
