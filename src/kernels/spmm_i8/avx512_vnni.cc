// Block-sparse INT8 product with vpdpbusd: the four rows of a quad are interleaved on the fly into registers
// whose 32-bit lanes hold one token's four codes, and each serves four outputs.
#include <immintrin.h>

#include "kernels/gemm_i8/finish_512.h"
#include "kernels/spmm_i8/format.h"

namespace penjing::spmm_i8::avx512_vnni {

namespace {

PENJING_INLINE int load_quad(const int8_t* w) {
  int quad;
  __builtin_memcpy(&quad, w, 4);
  return quad;
}

// 64 tokens, a whole panel. In each 128-bit lane L of value[q] sit tokens 16 L + 4 q .. + 3, so sums[o][q]
// holds them in that order; a 4 x 4 transposition of lanes restores it at the end.
PENJING_INLINE void multiply_64(const Args& args, const Quads<int8_t>& quads, const Tokens (&tokens)[4],
                                int64_t group) {
  __m512i sums[kOutputs][4];
  for (auto& row : sums) {
    for (auto& s : row) s = _mm512_setzero_si512();
  }
  const int32_t* input = quads.input + 4 * int64_t{quads.first[group]};
  const int8_t* w = quads.weight + 16 * int64_t{quads.first[group]};
  for (int32_t quad = quads.first[group]; quad < quads.first[group + 1]; ++quad, input += 4, w += 16) {
    const auto load = [&](int i) __attribute__((always_inline)) {
      return _mm512_loadu_si512(args.x + int64_t{input[i]} * args.width);
    };
    const __m512i r0 = load(0), r1 = load(1), r2 = load(2), r3 = load(3);
    const __m512i l01 = _mm512_unpacklo_epi8(r0, r1), h01 = _mm512_unpackhi_epi8(r0, r1);
    const __m512i l23 = _mm512_unpacklo_epi8(r2, r3), h23 = _mm512_unpackhi_epi8(r2, r3);
    const __m512i value[4] = {_mm512_unpacklo_epi16(l01, l23), _mm512_unpackhi_epi16(l01, l23),
                              _mm512_unpacklo_epi16(h01, h23), _mm512_unpackhi_epi16(h01, h23)};
    for (int o = 0; o < kOutputs; ++o) {
      const __m512i weight = _mm512_set1_epi32(load_quad(w + 4 * o));
      for (int q = 0; q < 4; ++q) sums[o][q] = _mm512_dpbusd_epi32(sums[o][q], value[q], weight);
    }
  }
  for (int o = 0; o < kOutputs; ++o) {
    const int64_t output = group * kOutputs + o;
    if (output >= args.n_end) break;
    const __m512i a = _mm512_shuffle_i32x4(sums[o][0], sums[o][1], 0x44);  // lanes 0 1 of q0, 0 1 of q1
    const __m512i b = _mm512_shuffle_i32x4(sums[o][2], sums[o][3], 0x44);
    const __m512i c = _mm512_shuffle_i32x4(sums[o][0], sums[o][1], 0xee);  // lanes 2 3
    const __m512i d = _mm512_shuffle_i32x4(sums[o][2], sums[o][3], 0xee);
    const __m512i in_order[4] = {_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd),
                                 _mm512_shuffle_i32x4(c, d, 0x88), _mm512_shuffle_i32x4(c, d, 0xdd)};
    finish(args, tokens, output, 0, in_order);
  }
}

// 32 tokens, the same in 256-bit registers: two products a cycle, no loss.
PENJING_INLINE void multiply_32(const Args& args, const Quads<int8_t>& quads, int64_t group, int column) {
  __m256i sums[kOutputs][4];
  for (auto& row : sums) {
    for (auto& s : row) s = _mm256_setzero_si256();
  }
  const int32_t* input = quads.input + 4 * int64_t{quads.first[group]};
  const int8_t* w = quads.weight + 16 * int64_t{quads.first[group]};
  for (int32_t quad = quads.first[group]; quad < quads.first[group + 1]; ++quad, input += 4, w += 16) {
    const auto load = [&](int i) __attribute__((always_inline)) {
      return _mm256_loadu_si256(
          reinterpret_cast<const __m256i*>(args.x + int64_t{input[i]} * args.width + column));
    };
    const __m256i r0 = load(0), r1 = load(1), r2 = load(2), r3 = load(3);
    const __m256i l01 = _mm256_unpacklo_epi8(r0, r1), h01 = _mm256_unpackhi_epi8(r0, r1);
    const __m256i l23 = _mm256_unpacklo_epi8(r2, r3), h23 = _mm256_unpackhi_epi8(r2, r3);
    const __m256i value[4] = {_mm256_unpacklo_epi16(l01, l23), _mm256_unpackhi_epi16(l01, l23),
                              _mm256_unpacklo_epi16(h01, h23), _mm256_unpackhi_epi16(h01, h23)};
    for (int o = 0; o < kOutputs; ++o) {
      const __m256i weight = _mm256_set1_epi32(load_quad(w + 4 * o));
      for (int q = 0; q < 4; ++q) sums[o][q] = _mm256_dpbusd_epi32(sums[o][q], value[q], weight);
    }
  }
  const Tokens tokens[2] = {tokens_at(args, column), tokens_at(args, column + 16)};
  for (int o = 0; o < kOutputs; ++o) {
    const int64_t output = group * kOutputs + o;
    if (output >= args.n_end) break;
    const auto join = [&](int half) __attribute__((always_inline)) {
      const auto part = [&](int q) __attribute__((always_inline)) {
        return half == 0 ? _mm256_castsi256_si128(sums[o][q]) : _mm256_extracti128_si256(sums[o][q], 1);
      };
      const __m512i two = _mm512_inserti32x4(_mm512_castsi128_si512(part(0)), part(1), 1);
      return _mm512_inserti32x4(_mm512_inserti32x4(two, part(2), 2), part(3), 3);
    };
    const __m512i in_order[2] = {join(0), join(1)};
    finish(args, tokens, output, column, in_order);
  }
}

// 16 tokens: the interleave of one register costs as much as its four products.
PENJING_INLINE void multiply_16(const Args& args, const Quads<int8_t>& quads, int64_t group, int column) {
  __m512i sums[kOutputs];
  for (auto& s : sums) s = _mm512_setzero_si512();
  const int32_t* input = quads.input + 4 * int64_t{quads.first[group]};
  const int8_t* w = quads.weight + 16 * int64_t{quads.first[group]};
  for (int32_t quad = quads.first[group]; quad < quads.first[group + 1]; ++quad, input += 4, w += 16) {
    const auto load = [&](int i) __attribute__((always_inline)) {
      return _mm_loadu_si128(
          reinterpret_cast<const __m128i*>(args.x + int64_t{input[i]} * args.width + column));
    };
    const __m128i r0 = load(0), r1 = load(1), r2 = load(2), r3 = load(3);
    const __m256i r01 = _mm256_set_m128i(_mm_unpackhi_epi8(r0, r1), _mm_unpacklo_epi8(r0, r1));
    const __m256i r23 = _mm256_set_m128i(_mm_unpackhi_epi8(r2, r3), _mm_unpacklo_epi8(r2, r3));
    // Lanes: tokens 0-3 and 8-11, then 4-7 and 12-15; put in order when the sums are done.
    const __m512i value = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_unpacklo_epi16(r01, r23)),
                                             _mm256_unpackhi_epi16(r01, r23), 1);
    for (int o = 0; o < kOutputs; ++o) {
      sums[o] = _mm512_dpbusd_epi32(sums[o], value, _mm512_set1_epi32(load_quad(w + 4 * o)));
    }
  }
  const Tokens tokens[1] = {tokens_at(args, column)};
  for (int o = 0; o < kOutputs; ++o) {
    const int64_t output = group * kOutputs + o;
    if (output >= args.n_end) break;
    const __m512i in_order[1] = {_mm512_shuffle_i32x4(sums[o], sums[o], 0xd8)};  // lanes 0 2 1 3
    finish(args, tokens, output, column, in_order);
  }
}

void run(const Args& shared) {
  const Args args = shared;
  const auto quads = unpack<int8_t>(args);
  if (args.width == 64) {
    const Tokens tokens[4] = {tokens_at(args, 0), tokens_at(args, 16), tokens_at(args, 32),
                              tokens_at(args, 48)};
    for (int64_t group = args.n_begin / kOutputs; group * kOutputs < args.n_end; ++group) {
      multiply_64(args, quads, tokens, group);
    }
    return;
  }
  for (int64_t group = args.n_begin / kOutputs; group * kOutputs < args.n_end; ++group) {
    int column = 0;
    for (; args.width - column >= 32; column += 32) multiply_32(args, quads, group, column);
    for (; column < args.width; column += 16) multiply_16(args, quads, group, column);
  }
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512Vnni,     "avx512_vnni", kAnyCodes,     true,
                       packed_bytes<int8_t>, pack<int8_t>,  valid<int8_t>, run};

}  // namespace penjing::spmm_i8::avx512_vnni
