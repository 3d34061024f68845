// INT8 product with vpdpbusd. Weights packed [ceil(N/8)][ceil(K/4)][8][4] s8: for each quad of k, the eight
// outputs of a group, four codes each = one 32-bit broadcast. Activations are interleaved on the fly: four
// feature rows of u8 become vectors whose 32-bit lanes hold one token's four codes.
#include <immintrin.h>

#include "kernels/gemm_i8/gemm_i8.h"

#define PENJING_INLINE static inline __attribute__((always_inline))

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

PENJING_INLINE __m512i broadcast_weight(const int8_t* w, int output) {
  int quad;
  __builtin_memcpy(&quad, w + 4 * output, 4);
  return _mm512_set1_epi32(quad);
}

// 16 tokens of four rows -> lanes in token order.
PENJING_INLINE __m512i load_quad_16(const uint8_t* x, int width) {
  const __m128i r0 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
  const __m128i r1 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + width));
  const __m128i r2 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + 2 * width));
  const __m128i r3 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + 3 * width));
  const __m128i l01 = _mm_unpacklo_epi8(r0, r1), h01 = _mm_unpackhi_epi8(r0, r1);
  const __m128i l23 = _mm_unpacklo_epi8(r2, r3), h23 = _mm_unpackhi_epi8(r2, r3);
  const __m256i low = _mm256_set_m128i(_mm_unpackhi_epi16(l01, l23), _mm_unpacklo_epi16(l01, l23));
  const __m256i high = _mm256_set_m128i(_mm_unpackhi_epi16(h01, h23), _mm_unpacklo_epi16(h01, h23));
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

// The float epilogue for 16 tokens of one output, in the order of the contract.
PENJING_INLINE void finish(const Args& args, int64_t output, int column, __m512i sum) {
  const __m512i zero_point = _mm512_loadu_si512(args.zero_point + column);
  const __m512i exact =
      _mm512_sub_epi32(sum, _mm512_mullo_epi32(zero_point, _mm512_set1_epi32(args.row_sum[output])));
  const __m512 scale =
      _mm512_mul_ps(_mm512_loadu_ps(args.scale_x + column), _mm512_set1_ps(args.scale_w[output]));
  __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(exact), scale);
  const int64_t at = output * args.width + column;
  if (args.bias != nullptr) y = _mm512_add_ps(y, _mm512_set1_ps(args.bias[output]));
  if (args.residual != nullptr) y = _mm512_add_ps(y, _mm512_loadu_ps(args.residual + at));
  _mm512_storeu_ps(args.y + at, y);
}

// Four outputs from `first` x a whole panel of 64 tokens: 16 sums. In each 128-bit lane L of quads[q] sit
// tokens 16 L + 4 q .. + 3, so sums[o][q] holds them in that order; a 4 x 4 transposition of lanes restores
// it at the end.
PENJING_INLINE void multiply_64(const Args& args, const int8_t* w, int64_t first) {
  __m512i sums[4][4];
  for (auto& row : sums) {
    for (auto& s : row) s = _mm512_setzero_si512();
  }
  const uint8_t* x = args.x;
  for (int64_t quad = quads_of(args.k); quad > 0; --quad, x += 4 * 64, w += 4 * kOutputs) {
    const __m512i r0 = _mm512_loadu_si512(x), r1 = _mm512_loadu_si512(x + 64);
    const __m512i r2 = _mm512_loadu_si512(x + 128), r3 = _mm512_loadu_si512(x + 192);
    const __m512i l01 = _mm512_unpacklo_epi8(r0, r1), h01 = _mm512_unpackhi_epi8(r0, r1);
    const __m512i l23 = _mm512_unpacklo_epi8(r2, r3), h23 = _mm512_unpackhi_epi8(r2, r3);
    const __m512i quads[4] = {_mm512_unpacklo_epi16(l01, l23), _mm512_unpackhi_epi16(l01, l23),
                              _mm512_unpacklo_epi16(h01, h23), _mm512_unpackhi_epi16(h01, h23)};
    for (int o = 0; o < 4; ++o) {
      const __m512i weight = broadcast_weight(w, o);
      for (int q = 0; q < 4; ++q) sums[o][q] = _mm512_dpbusd_epi32(sums[o][q], quads[q], weight);
    }
  }
  for (int o = 0; o < 4; ++o) {
    if (first + o >= args.n_end) break;
    const __m512i a = _mm512_shuffle_i32x4(sums[o][0], sums[o][1], 0x44);  // lanes 0 1 of q0, 0 1 of q1
    const __m512i b = _mm512_shuffle_i32x4(sums[o][2], sums[o][3], 0x44);
    const __m512i c = _mm512_shuffle_i32x4(sums[o][0], sums[o][1], 0xee);  // lanes 2 3
    const __m512i d = _mm512_shuffle_i32x4(sums[o][2], sums[o][3], 0xee);
    finish(args, first + o, 0, _mm512_shuffle_i32x4(a, b, 0x88));
    finish(args, first + o, 16, _mm512_shuffle_i32x4(a, b, 0xdd));
    finish(args, first + o, 32, _mm512_shuffle_i32x4(c, d, 0x88));
    finish(args, first + o, 48, _mm512_shuffle_i32x4(c, d, 0xdd));
  }
}

// Eight outputs x 16 * Vectors tokens from `column`.
template <int Vectors>
PENJING_INLINE void multiply_narrow(const Args& args, const int8_t* w, int64_t first, int column) {
  __m512i sums[kOutputs][Vectors];
  for (auto& row : sums) {
    for (auto& s : row) s = _mm512_setzero_si512();
  }
  const uint8_t* x = args.x + column;
  for (int64_t quad = quads_of(args.k); quad > 0; --quad, x += 4 * args.width, w += 4 * kOutputs) {
    __m512i value[Vectors];
    for (int v = 0; v < Vectors; ++v) value[v] = load_quad_16(x + 16 * v, args.width);
    for (int o = 0; o < kOutputs; ++o) {
      const __m512i weight = broadcast_weight(w, o);
      for (int v = 0; v < Vectors; ++v) sums[o][v] = _mm512_dpbusd_epi32(sums[o][v], value[v], weight);
    }
  }
  for (int o = 0; o < kOutputs; ++o) {
    if (first + o >= args.n_end) break;
    for (int v = 0; v < Vectors; ++v) finish(args, first + o, column + 16 * v, sums[o][v]);
  }
}

// 16 outputs x 16 tokens: the interleave of a lone vector is shared by two groups.
PENJING_INLINE void multiply_pair(const Args& args, const int8_t* w, int64_t first) {
  const int64_t group_bytes = quads_of(args.k) * 4 * kOutputs;
  __m512i sums[2 * kOutputs];
  for (auto& s : sums) s = _mm512_setzero_si512();
  const uint8_t* x = args.x;
  for (int64_t quad = quads_of(args.k); quad > 0; --quad, x += 4 * args.width, w += 4 * kOutputs) {
    const __m512i value = load_quad_16(x, args.width);
    for (int o = 0; o < kOutputs; ++o) {
      sums[o] = _mm512_dpbusd_epi32(sums[o], value, broadcast_weight(w, o));
      sums[kOutputs + o] =
          _mm512_dpbusd_epi32(sums[kOutputs + o], value, broadcast_weight(w + group_bytes, o));
    }
  }
  for (int o = 0; o < 2 * kOutputs && first + o < args.n_end; ++o) finish(args, first + o, 0, sums[o]);
}

void run(const Args& args) {
  const auto* packed = static_cast<const int8_t*>(args.w);
  const int64_t row_bytes = quads_of(args.k) * 4;
  for (int64_t group = args.n_begin; group < args.n_end; group += kOutputs) {
    const int8_t* w = packed + group * row_bytes;
    if (args.width == 64) {
      multiply_64(args, w, group);
      multiply_64(args, w + 16, group + 4);
    } else if (args.width == 48) {
      multiply_narrow<3>(args, w, group, 0);
    } else if (args.width == 32) {
      multiply_narrow<2>(args, w, group, 0);
    } else if (group + kOutputs < args.n_end) {
      multiply_pair(args, w, group);
      group += kOutputs;
    } else {
      multiply_narrow<1>(args, w, group, 0);
    }
  }
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512Vnni, packed_bytes, pack, run};

}  // namespace penjing::gemm_i8::avx512_vnni
