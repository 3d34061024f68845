// INT8 product on AVX2. vpmaddubsw would saturate (255 * 127 * 2 > 32767), so both operands are widened to 16
// bits and vpmaddwd sums pairs exactly. Weights packed [ceil(N/8)][ceil(K/4)][8][4] s16, the four of a quad
// in the order 0 2 1 3: a mask and a shift widen the codes of a token into the pairs 0 2 and 1 3.
#include <immintrin.h>

#include "kernels/gemm_i8/gemm_i8.h"

#define PENJING_INLINE static inline __attribute__((always_inline))

namespace penjing::gemm_i8::avx2 {

namespace {

int64_t quads_of(int64_t k) {
  return (k + 3) / 4;
}

std::size_t packed_bytes(int64_t n, int64_t k) {
  return static_cast<std::size_t>((n + kOutputs - 1) / kOutputs * kOutputs * quads_of(k) * 4) *
         sizeof(int16_t);
}

void pack(const int8_t* w, int64_t n, int64_t k, void* packed) {
  auto* out = static_cast<int16_t*>(packed);
  for (int64_t group = 0; group < n; group += kOutputs) {
    for (int64_t quad = 0; quad < quads_of(k); ++quad) {
      for (int64_t o = group; o < group + kOutputs; ++o) {
        for (const int i : {0, 2, 1, 3}) {
          *out++ = o < n && 4 * quad + i < k ? w[o * k + 4 * quad + i] : int16_t{0};
        }
      }
    }
  }
}

PENJING_INLINE __m256i broadcast_pair(const int16_t* w) {
  int pair;
  __builtin_memcpy(&pair, w, 4);
  return _mm256_set1_epi32(pair);
}

PENJING_INLINE void finish(const Args& args, int64_t output, int column, __m256i sum) {
  const __m256i zero_point = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(args.zero_point + column));
  const __m256i exact =
      _mm256_sub_epi32(sum, _mm256_mullo_epi32(zero_point, _mm256_set1_epi32(args.row_sum[output])));
  const __m256 scale =
      _mm256_mul_ps(_mm256_loadu_ps(args.scale_x + column), _mm256_set1_ps(args.scale_w[output]));
  __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(exact), scale);
  const int64_t at = output * args.width + column;
  if (args.bias != nullptr) y = _mm256_add_ps(y, _mm256_set1_ps(args.bias[output]));
  if (args.residual != nullptr) y = _mm256_add_ps(y, _mm256_loadu_ps(args.residual + at));
  _mm256_storeu_ps(args.y + at, y);
}

// Four outputs x 16 tokens from `column`: 8 sums, 4 vectors of widened codes, 1 weight, 1 product.
PENJING_INLINE void multiply_tile(const Args& args, const int16_t* w, int64_t first, int column) {
  constexpr int kTile = 4;
  __m256i sums[kTile][2];
  for (auto& row : sums) {
    for (auto& s : row) s = _mm256_setzero_si256();
  }
  const __m256i low_bytes = _mm256_set1_epi16(0xff);
  const uint8_t* x = args.x + 4 * column;
  for (int64_t quad = quads_of(args.k); quad > 0; --quad, x += 4 * args.width, w += 4 * kOutputs) {
    __m256i even[2], odd[2];  // codes 0 and 2, 1 and 3 of each token
    for (int v = 0; v < 2; ++v) {
      const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + 32 * v));
      even[v] = _mm256_and_si256(codes, low_bytes);
      odd[v] = _mm256_srli_epi16(codes, 8);
    }
    for (int o = 0; o < kTile; ++o) {
      const __m256i even_weight = broadcast_pair(w + 4 * o), odd_weight = broadcast_pair(w + 4 * o + 2);
      for (int v = 0; v < 2; ++v) {
        sums[o][v] = _mm256_add_epi32(sums[o][v], _mm256_madd_epi16(even[v], even_weight));
        sums[o][v] = _mm256_add_epi32(sums[o][v], _mm256_madd_epi16(odd[v], odd_weight));
      }
    }
  }
  for (int o = 0; o < kTile && first + o < args.n_end; ++o) {
    finish(args, first + o, column, sums[o][0]);
    finish(args, first + o, column + 8, sums[o][1]);
  }
}

void run(const Args& args) {
  const auto* packed = static_cast<const int16_t*>(args.w);
  for (int64_t group = args.n_begin; group < args.n_end; group += kOutputs) {
    const int16_t* w = packed + group * quads_of(args.k) * 4;
    for (int column = 0; column < args.width; column += 16) {
      for (int o = 0; o < kOutputs && group + o < args.n_end; o += 4) {
        multiply_tile(args, w + 4 * o, group + o, column);
      }
    }
  }
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, packed_bytes, pack, run};

}  // namespace penjing::gemm_i8::avx2
