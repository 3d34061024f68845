#pragma once

// What the 256-bit INT8 products share: the packed form, the loop over tiles and the epilogue. Weights packed
// [ceil(N/8)][ceil(K/4)][8][4], as avx512_vnni.cc has them, in bytes or wider: the quad of an output is
// broadcast to the quads of eight tokens.
#include "kernels/gemm_i8/finish_256.h"
#include "kernels/gemm_i8/gemm_i8.h"

namespace {

using penjing::gemm_i8::Args;
using penjing::gemm_i8::kOutputs;

PENJING_INLINE int64_t quads_of(int64_t k) {
  return (k + 3) / 4;
}

template <typename Weight>
std::size_t packed_bytes(int64_t n, int64_t k) {
  return static_cast<std::size_t>((n + kOutputs - 1) / kOutputs * kOutputs * quads_of(k) * 4) *
         sizeof(Weight);
}

// kPlaces: which of a quad's four weights comes first, second...
template <typename Weight, int... kPlaces>
void pack(const int8_t* w, int64_t n, int64_t k, void* packed) {
  auto* out = static_cast<Weight*>(packed);
  for (int64_t group = 0; group < n; group += kOutputs) {
    for (int64_t quad = 0; quad < quads_of(k); ++quad) {
      for (int64_t o = group; o < group + kOutputs; ++o) {
        for (const int i : {kPlaces...})
          *out++ = o < n && 4 * quad + i < k ? w[o * k + 4 * quad + i] : Weight{0};
      }
    }
  }
}

PENJING_INLINE __m256i load_codes(const uint8_t* x) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
}

// All tiles of four outputs x kVectors vectors of eight tokens. `accumulate(sums, x, w, stride, quads)` adds
// the products of a tile to sums[4][kVectors]; x and w begin at the first quad, the next one of x is `stride`
// bytes on, of w 4 * kOutputs weights.
template <typename Weight, int kVectors, typename Accumulate>
PENJING_INLINE void multiply(const Args& args, Accumulate accumulate) {
  const int64_t quads = quads_of(args.k), stride = int64_t{4} * args.width;
  const auto* packed = static_cast<const Weight*>(args.w);
  for (int64_t group = args.n_begin; group < args.n_end; group += kOutputs) {
    const Weight* w = packed + group * quads * 4;
    for (int column = 0; column < args.width; column += 8 * kVectors) {
      for (int o = 0; o < kOutputs && group + o < args.n_end; o += 4) {
        __m256i sums[4][kVectors];
        for (auto& row : sums) {
          for (auto& sum : row) sum = _mm256_setzero_si256();
        }
        accumulate(sums, args.x + 4 * column, w + 4 * o, stride, quads);
        for (int i = 0; i < 4 && group + o + i < args.n_end; ++i) {
          for (int v = 0; v < kVectors; ++v) finish(args, group + o + i, column + 8 * v, sums[i][v]);
        }
      }
    }
  }
}

}  // namespace
