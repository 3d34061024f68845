// INT8 product on AVX2 of 7-bit weights: vpmaddubsw multiplies the codes as they lie, and a sum of two
// products stays in 16 bits (2 * 255 * 64 = 32640).
#include "kernels/gemm_i8/tile_256.h"

namespace penjing::gemm_i8::avx2_w7a8 {

namespace {

constexpr int kVectors = 2;

PENJING_INLINE void accumulate(__m256i (&sums)[4][kVectors], const uint8_t* x, const int8_t* w,
                               int64_t stride, int64_t quads) {
  const __m256i ones = _mm256_set1_epi16(1);
  for (; quads > 0; --quads, x += stride, w += 4 * kOutputs) {
    __m256i codes[kVectors];
    for (int v = 0; v < kVectors; ++v) codes[v] = load_codes(x + 32 * v);
    for (int o = 0; o < 4; ++o) {
      const __m256i weight = broadcast_32_bits(w + 4 * o);
      for (int v = 0; v < kVectors; ++v) {
        const __m256i pairs = _mm256_maddubs_epi16(codes[v], weight);
        sums[o][v] = _mm256_add_epi32(sums[o][v], _mm256_madd_epi16(pairs, ones));
      }
    }
  }
}

void run(const Args& args) {
  multiply<int8_t, kVectors>(
      args, [](auto&&... tile) __attribute__((always_inline)) { accumulate(tile...); });
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, "avx2_w7a8",          {.weight = 64, .code = 255}, false,
                       0.4,        packed_bytes<int8_t>, pack<int8_t, 0, 1, 2, 3>,    run};

}  // namespace penjing::gemm_i8::avx2_w7a8
