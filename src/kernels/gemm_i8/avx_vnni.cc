// INT8 product with the 256-bit vpdpbusd of CPUs without AVX-512 (Alder Lake and later). Never run on such a
// CPU: the tests build this file once more with the EVEX form of the same instruction and run that.
#include "kernels/gemm_i8/tile_256.h"

namespace penjing::gemm_i8::avx_vnni {

namespace {

constexpr int kVectors = 2;

PENJING_INLINE __m256i add_products(__m256i sum, __m256i codes, __m256i weights) {
#ifdef __AVX512VNNI__
  return _mm256_dpbusd_epi32(sum, codes, weights);
#else
  return _mm256_dpbusd_avx_epi32(sum, codes, weights);
#endif
}

PENJING_INLINE void accumulate(__m256i (&sums)[4][kVectors], const uint8_t* x, const int8_t* w,
                               int64_t stride, int64_t quads) {
  for (; quads > 0; --quads, x += stride, w += 4 * kOutputs) {
    __m256i codes[kVectors];
    for (int v = 0; v < kVectors; ++v) codes[v] = load_codes(x + 32 * v);
    for (int o = 0; o < 4; ++o) {
      const __m256i weight = broadcast_32_bits(w + 4 * o);
      for (int v = 0; v < kVectors; ++v) sums[o][v] = add_products(sums[o][v], codes[v], weight);
    }
  }
}

void run(const Args& args) {
  multiply<int8_t, kVectors>(
      args, [](auto&&... tile) __attribute__((always_inline)) { accumulate(tile...); });
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {
    Isa::kAvxVnni, "avx_vnni", kAnyCodes, false, 0.7, packed_bytes<int8_t>, pack<int8_t, 0, 1, 2, 3>, run};

}  // namespace penjing::gemm_i8::avx_vnni
