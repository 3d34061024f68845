// INT8 product with vpdpbusd. Weights packed [ceil(N/8)][ceil(K/4)][8][4] s8: for each quad of k the eight
// outputs of a group. The 32 bits of an output are broadcast by the instruction that multiplies; the quads of
// sixteen tokens are one register as they lie in memory.
#include <immintrin.h>

#include "kernels/gemm_i8/finish_512.h"
#include "kernels/gemm_i8/gemm_i8.h"

namespace penjing::gemm_i8::avx512_vnni {

namespace {

int64_t quads_of(int64_t k) {
  return (k + 3) / 4;
}

std::size_t packed_bytes(int64_t n, int64_t k) {
  return static_cast<std::size_t>((n + kOutputs - 1) / kOutputs * kOutputs * quads_of(k) * 4);
}

void pack(const int8_t* w, int64_t n, int64_t k, void* packed) {
  auto* out = static_cast<int8_t*>(packed);
  for (int64_t group = 0; group < n; group += kOutputs) {
    for (int64_t quad = 0; quad < quads_of(k); ++quad) {
      for (int64_t o = group; o < group + kOutputs; ++o) {
        for (int64_t i = 4 * quad; i < 4 * quad + 4; ++i) *out++ = o < n && i < k ? w[o * k + i] : int8_t{0};
      }
    }
  }
}

PENJING_INLINE __m512i broadcast_quad(const int8_t* w) {
  int quad;
  __builtin_memcpy(&quad, w, 4);
  return _mm512_set1_epi32(quad);
}

// The eight outputs of the group at `w` x 16 kVectors tokens from `column`. Measured, K = 384, products
// alone: where 512 bits take two cycles (Zen 4: one product a cycle, latency 4), eight sums are twice what
// hides the latency, and with sixteen the epilogue of a tile no longer overlaps the sums of the next: 97 % of
// the peak become
// 91. Where two products start a cycle (Granite Rapids), eight sums are too few and their loads too many: 54
// %, with sixteen 67.
template <int kVectors>
PENJING_INLINE void multiply_tile(const Args& args, const int8_t* w, int64_t group, int column) {
  __m512i sum[kOutputs][kVectors];
  for (auto& row : sum) {
    for (auto& s : row) s = _mm512_setzero_si512();
  }
  const uint8_t* x = args.x + 4 * column;
  // The next group's weights come from the third cache while this one computes: 1.1x to 1.5x where they are
  // cold.
  const int64_t ahead = quads_of(args.k) * 4 * kOutputs;
  for (int64_t quad = quads_of(args.k); quad > 0; --quad, x += 4 * args.width, w += 4 * kOutputs) {
    __m512i value[kVectors];
    for (int v = 0; v < kVectors; ++v) value[v] = _mm512_loadu_si512(x + 64 * v);
    __builtin_prefetch(w + ahead);
    for (int o = 0; o < kOutputs; ++o) {
      const __m512i weight = broadcast_quad(w + 4 * o);
      for (int v = 0; v < kVectors; ++v) sum[o][v] = _mm512_dpbusd_epi32(sum[o][v], value[v], weight);
    }
  }
  Tokens tokens[kVectors];
  for (int v = 0; v < kVectors; ++v) tokens[v] = tokens_at(args, column + 16 * v);
  for (int o = 0; o < kOutputs && group + o < args.n_end; ++o)
    finish(args, tokens, group + o, column, sum[o]);
}

void run(const Args& args) {
  const auto* packed = static_cast<const int8_t*>(args.w);
  const bool narrow = halves_512_bits();
  for (int64_t group = args.n_begin; group < args.n_end; group += kOutputs) {
    const int8_t* w = packed + group * quads_of(args.k) * 4;
    int column = 0;
    for (; !narrow && column + 32 <= args.width; column += 32) multiply_tile<2>(args, w, group, column);
    for (; column < args.width; column += 16) multiply_tile<1>(args, w, group, column);
  }
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512Vnni, "avx512_vnni", kAnyCodes, true, 0.35, packed_bytes, pack, run};

}  // namespace penjing::gemm_i8::avx512_vnni
