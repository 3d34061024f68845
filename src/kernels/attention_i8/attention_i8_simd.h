#pragma once

// 8-bit attention by products of registers, over softmax_simd.h and a Dot that can also
//   add(sum, quads, codes): sum += quads of unsigned codes of a register x one quad of signed codes.
// Keys lie in quads [features / 4][tokens][4].
#include "kernels/attention_i8/softmax_simd.h"

namespace {

// Sums that run side by side: enough to hide the latency of a product.
constexpr int kChains = 8;

// Exponents of `Count` keys from `key`.
template <int Count>
PENJING_INLINE void score_keys(const Args& args, const Prepared& from, const Scratch& scratch,
                               V::Float factor, int64_t key, int strip, V::Float& highest) {
  V::Int sum[Count];
  for (int i = 0; i < Count; ++i) sum[i] = V::set_int(from.key_offset[key + i]);
  const Code* codes = from.keys + key * 4;
  const int32_t* q = scratch.queries + strip;
  for (int64_t d = 0; d < args.head_dim; d += 4, q += kQueries, codes += 4 * from.tokens) {
    const V::Int quad = V::load_int(q);
    for (int i = 0; i < Count; ++i) sum[i] = Dot::add(sum[i], quad, codes + 4 * i);
  }
  for (int i = 0; i < Count; ++i) {
    V::store(scratch.exponents + (key + i) * kQueries + strip,
             exponent_of(args, from, sum[i], factor, key + i, strip, highest));
  }
}

template <int Features>
PENJING_INLINE void weigh_values(const Args& args, const Prepared& from, const Scratch& scratch, int64_t d,
                                 int strip, V::Float inverse) {
  V::Int sum[Features];
  for (auto& s : sum) s = V::set_int(0);
  const Code* values = from.values + d * from.tokens;
  for (int64_t j = args.key_begin & ~int64_t{3}; j < args.key_end; j += 4) {
    const V::Int quad = V::load_int(scratch.probabilities + j / 4 * kQueries + strip);
    for (int i = 0; i < Features; ++i) sum[i] = Dot::add(sum[i], quad, values + i * from.tokens + j);
  }
  for (int i = 0; i < Features; ++i) {
    const V::Float y = V::mul(V::mul(V::to_float(sum[i]), V::set(from.value_scale[d + i])), inverse);
    V::store(args.out + (d + i) * kQueries + strip, y);
  }
}

PENJING_INLINE void run_strip(const Args& args, const Prepared& from, int strip) {
  const Scratch scratch = scratch_of(args, from);
  V::Float bad = V::set(*from.poison);
  const V::Float scale = quantize_queries(args, strip, scratch.queries + strip, bad);
  const V::Float factor = V::mul(scale, V::set(args.scale * kLog2E));
  V::Float highest = V::set(-__builtin_inff());
  int64_t j = args.key_begin;
  for (; j + kChains <= args.key_end; j += kChains) {
    score_keys<kChains>(args, from, scratch, factor, j, strip, highest);
  }
  for (; j < args.key_end; ++j) score_keys<1>(args, from, scratch, factor, j, strip, highest);
  const int64_t begin = args.key_begin & ~int64_t{3};
  const V::Int total = weigh_keys(args, scratch, begin, args.key_end, strip, highest);
  const V::Float inverse = inverse_of(total, factor, bad);

  int64_t d = 0;
  for (; d + kChains <= args.head_dim; d += kChains) {
    weigh_values<kChains>(args, from, scratch, d, strip, inverse);
  }
  for (; d < args.head_dim; ++d) weigh_values<1>(args, from, scratch, d, strip, inverse);
}

void run(const Args& args) {
  const Prepared from = layout(const_cast<void*>(args.prepared), args.head_dim, args.length);
  for (int strip = 0; strip < kQueries; strip += V::kLanes) run_strip(args, from, strip);
}

}  // namespace
