// INT8 product on AVX2 of 7-bit weights and codes: the sums of two vpmaddubsw are added in 16 bits (4 * 127 *
// 64 = 32512) before they are widened, so two quads cost three multiplications instead of four.
#include "kernels/gemm_i8/tile_256.h"

namespace penjing::gemm_i8::avx2_w7a7 {

namespace {

constexpr int kVectors = 2;

PENJING_INLINE void accumulate(__m256i (&sums)[4][kVectors], const uint8_t* x, const int8_t* w,
                               int64_t stride, int64_t quads) {
  const __m256i ones = _mm256_set1_epi16(1);
  for (; quads >= 2; quads -= 2, x += 2 * stride, w += 2 * 4 * kOutputs) {
    __m256i first[kVectors], second[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      first[v] = load_codes(x + 32 * v);
      second[v] = load_codes(x + stride + 32 * v);
    }
    for (int o = 0; o < 4; ++o) {
      const __m256i first_weight = broadcast_32_bits(w + 4 * o),
                    second_weight = broadcast_32_bits(w + 4 * kOutputs + 4 * o);
      for (int v = 0; v < kVectors; ++v) {
        const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(first[v], first_weight),
                                               _mm256_maddubs_epi16(second[v], second_weight));
        sums[o][v] = _mm256_add_epi32(sums[o][v], _mm256_madd_epi16(pairs, ones));
      }
    }
  }
  if (quads == 0) return;
  for (int o = 0; o < 4; ++o) {
    const __m256i weight = broadcast_32_bits(w + 4 * o);
    for (int v = 0; v < kVectors; ++v) {
      const __m256i pairs = _mm256_maddubs_epi16(load_codes(x + 32 * v), weight);
      sums[o][v] = _mm256_add_epi32(sums[o][v], _mm256_madd_epi16(pairs, ones));
    }
  }
}

void run(const Args& args) {
  multiply<int8_t, kVectors>(
      args, [](auto&&... tile) __attribute__((always_inline)) { accumulate(tile...); });
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, "avx2_w7a7",          {.weight = 64, .code = 127}, false,
                       0.4,        packed_bytes<int8_t>, pack<int8_t, 0, 1, 2, 3>,    run};

}  // namespace penjing::gemm_i8::avx2_w7a7
