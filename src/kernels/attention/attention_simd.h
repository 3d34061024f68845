#pragma once

// Attention of 16 queries over simd/<isa>.h's Vector and the exp of pointwise: include both first.
#include "kernels/attention/attention.h"

namespace {

using penjing::attention::Args;
constexpr int kQueries = 16;
// Keys (or output features) whose chains run side by side: 8 hide the latency of an FMA (4 to 5 cycles, up to
// two a cycle) and fit the registers of every instruction set.
constexpr int kChains = 8;

// scores[key][strip..] for `Keys` keys from `key`; returns the maximum of them and `highest`.
template <int Keys>
PENJING_INLINE V::Float score_keys(const Args& args, int strip, int64_t key, V::Float highest) {
  V::Float sum[Keys];
  for (auto& s : sum) s = V::zero();
  for (int64_t d = 0; d < args.head_dim; ++d) {
    const V::Float q = V::load(args.q + d * kQueries + strip);
    const float* k = args.k + d * args.length_stride + key;
    for (int i = 0; i < Keys; ++i) sum[i] = V::fma(q, V::set(k[i]), sum[i]);
  }
  for (int i = 0; i < Keys; ++i) {
    V::Float score = V::mul(sum[i], V::set(args.scale));
    const int64_t at = (key + i) * kQueries + strip;
    if (args.bias != nullptr) score = V::add(score, V::load(args.bias + at));
    V::store(args.scores + at, score);
    highest = V::max(score, highest);
  }
  return highest;
}

template <int Features>
PENJING_INLINE void weigh_values(const Args& args, int strip, int64_t d, V::Float inverse) {
  V::Float sum[Features];
  for (auto& s : sum) s = V::zero();
  const float* v = args.v + d * args.length_stride;
  for (int64_t j = args.key_begin; j < args.key_end; ++j) {
    const V::Float e = V::load(args.scores + j * kQueries + strip);
    for (int i = 0; i < Features; ++i) sum[i] = V::fma(e, V::set(v[i * args.length_stride + j]), sum[i]);
  }
  for (int i = 0; i < Features; ++i) V::store(args.out + (d + i) * kQueries + strip, V::mul(sum[i], inverse));
}

void run(const Args& args) {
  for (int strip = 0; strip < kQueries; strip += V::kLanes) {
    V::Float highest = V::set(-__builtin_inff());
    int64_t j = args.key_begin;
    for (; j + kChains <= args.key_end; j += kChains) highest = score_keys<kChains>(args, strip, j, highest);
    for (; j < args.key_end; ++j) highest = score_keys<1>(args, strip, j, highest);

    V::Float sums[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
    for (j = args.key_begin; j < args.key_end; ++j) {
      float* at = args.scores + j * kQueries + strip;
      const V::Float e = exp_vector(V::sub(V::load(at), highest));
      V::store(at, e);
      sums[j & 3] = V::add(sums[j & 3], e);
    }
    const V::Float total = V::add(V::add(sums[0], sums[1]), V::add(sums[2], sums[3]));
    const V::Float inverse = V::div(V::set(1.0f), total);

    int64_t d = 0;
    for (; d + kChains <= args.head_dim; d += kChains) weigh_values<kChains>(args, strip, d, inverse);
    for (; d < args.head_dim; ++d) weigh_values<1>(args, strip, d, inverse);
  }
}

}  // namespace
