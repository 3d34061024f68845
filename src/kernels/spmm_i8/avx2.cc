// Block-sparse INT8 product on AVX2: rows are interleaved in pairs and widened to 16 bits, vpmaddwd sums
// exactly.
#include "kernels/gemm_i8/finish_256.h"
#include "kernels/spmm_i8/format.h"

namespace penjing::spmm_i8::avx2 {

namespace {

// Four outputs x 16 tokens from `column`.
PENJING_INLINE void multiply_group(const Args& args, const Quads<int16_t>& quads, int64_t group, int column) {
  __m256i sums[kOutputs][2];
  for (auto& row : sums) {
    for (auto& s : row) s = _mm256_setzero_si256();
  }
  const int32_t* input = quads.input + 4 * int64_t{quads.first[group]};
  const int16_t* w = quads.weight + 16 * int64_t{quads.first[group]};
  for (int32_t quad = quads.first[group]; quad < quads.first[group + 1]; ++quad, input += 4, w += 16) {
    for (int pair = 0; pair < 4; pair += 2) {
      const auto load = [&](int i) __attribute__((always_inline)) {
        return _mm_loadu_si128(
            reinterpret_cast<const __m128i*>(args.x + int64_t{input[i]} * args.width + column));
      };
      const __m128i r0 = load(pair), r1 = load(pair + 1);
      const __m256i low = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(r0, r1));
      const __m256i high = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(r0, r1));
      for (int o = 0; o < kOutputs; ++o) {
        const __m256i weight = broadcast_32_bits(w + 4 * o + pair);
        sums[o][0] = _mm256_add_epi32(sums[o][0], _mm256_madd_epi16(low, weight));
        sums[o][1] = _mm256_add_epi32(sums[o][1], _mm256_madd_epi16(high, weight));
      }
    }
  }
  for (int o = 0; o < kOutputs && group * kOutputs + o < args.n_end; ++o) {
    finish(args, group * kOutputs + o, column, sums[o][0]);
    finish(args, group * kOutputs + o, column + 8, sums[o][1]);
  }
}

void run(const Args& args) {
  const auto quads = unpack<int16_t>(args);
  for (int64_t group = args.n_begin / kOutputs; group * kOutputs < args.n_end; ++group) {
    for (int column = 0; column < args.width; column += 16) multiply_group(args, quads, group, column);
  }
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2,    "avx2",         kAnyCodes, false, packed_bytes<int16_t>,
                       pack<int16_t>, valid<int16_t>, run};

}  // namespace penjing::spmm_i8::avx2
