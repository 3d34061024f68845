// Block-sparse INT8 product on AVX2 of 7-bit weights, as gemm_i8/avx2_w7a8.cc.
#include "kernels/spmm_i8/quads_256.h"

namespace penjing::spmm_i8::avx2_w7a8 {

namespace {

void run(const Args& args) {
  const __m256i ones = _mm256_set1_epi16(1);
  multiply(
      args, [&](auto& sums, const int32_t* input, const int8_t* w, int64_t quads, int column)
                __attribute__((always_inline)) {
                  for (; quads > 0; --quads, input += 4, w += 16) {
                    const QuadCodes codes = load_quad(args, input, column);
                    for (int o = 0; o < kOutputs; ++o) {
                      const __m256i weight = broadcast_32_bits(w + 4 * o);
                      const __m256i first = _mm256_maddubs_epi16(codes.first, weight);
                      const __m256i second = _mm256_maddubs_epi16(codes.second, weight);
                      sums[o][0] = _mm256_add_epi32(sums[o][0], _mm256_madd_epi16(first, ones));
                      sums[o][1] = _mm256_add_epi32(sums[o][1], _mm256_madd_epi16(second, ones));
                    }
                  }
                });
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {
    Isa::kAvx2,    "avx2_w7a8", {.weight = 64, .code = 255}, false, packed_bytes<int8_t>, pack<int8_t>,
    valid<int8_t>, run};

}  // namespace penjing::spmm_i8::avx2_w7a8
