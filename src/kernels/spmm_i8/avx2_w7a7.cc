// Block-sparse INT8 product on AVX2 of 7-bit weights and codes: two quads are added up in 16 bits, as in
// gemm_i8/avx2_w7a7.cc.
#include "kernels/spmm_i8/quads_256.h"

namespace penjing::spmm_i8::avx2_w7a7 {

namespace {

void run(const Args& args) {
  const __m256i ones = _mm256_set1_epi16(1);
  multiply(
      args, [&](auto& sums, const int32_t* input, const int8_t* w, int64_t quads,
                int column) __attribute__((always_inline)) {
        for (; quads >= 2; quads -= 2, input += 8, w += 32) {
          const QuadCodes a = load_quad(args, input, column), b = load_quad(args, input + 4, column);
          for (int o = 0; o < kOutputs; ++o) {
            const __m256i weight_a = broadcast_32_bits(w + 4 * o),
                          weight_b = broadcast_32_bits(w + 16 + 4 * o);
            const __m256i first = _mm256_add_epi16(_mm256_maddubs_epi16(a.first, weight_a),
                                                   _mm256_maddubs_epi16(b.first, weight_b));
            const __m256i second = _mm256_add_epi16(_mm256_maddubs_epi16(a.second, weight_a),
                                                    _mm256_maddubs_epi16(b.second, weight_b));
            sums[o][0] = _mm256_add_epi32(sums[o][0], _mm256_madd_epi16(first, ones));
            sums[o][1] = _mm256_add_epi32(sums[o][1], _mm256_madd_epi16(second, ones));
          }
        }
        if (quads == 0) return;
        const QuadCodes a = load_quad(args, input, column);
        for (int o = 0; o < kOutputs; ++o) {
          const __m256i weight = broadcast_32_bits(w + 4 * o);
          sums[o][0] =
              _mm256_add_epi32(sums[o][0], _mm256_madd_epi16(_mm256_maddubs_epi16(a.first, weight), ones));
          sums[o][1] =
              _mm256_add_epi32(sums[o][1], _mm256_madd_epi16(_mm256_maddubs_epi16(a.second, weight), ones));
        }
      });
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {
    Isa::kAvx2,    "avx2_w7a7", {.weight = 64, .code = 127}, false, packed_bytes<int8_t>, pack<int8_t>,
    valid<int8_t>, run};

}  // namespace penjing::spmm_i8::avx2_w7a7
