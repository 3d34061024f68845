#pragma once

// Elements of training's rows and their keep mask over simd/rows_<isa>.h's RowVector: include that first.
#include "kernels/train_rows.h"

namespace {

using V = Vector;
using penjing::train_rows::Dropout;
using penjing::train_rows::Element;

// The first `count` (up to all) lanes; the others are 0, or not written.
PENJING_INLINE V::Float load_first(const float* p, int64_t count) {
  return V::load_first(p, count);
}
PENJING_INLINE V::Float load_first(const uint16_t* p, int64_t count) {
  return RowVector::load_bf16_first(p, count);
}
PENJING_INLINE void store_first(float* p, V::Float v, int64_t count) {
  RowVector::store_first(p, v, count);
}
PENJING_INLINE void store_first(uint16_t* p, V::Float v, int64_t count) {
  RowVector::store_bf16_first(p, v, count);
}

// Columns whose masks are drawn at once: a Philox block makes four words, and lanes work in pairs.
constexpr int kDrawn = 2 * V::kLanes;

struct KeepMasks {
  V::Mask keep[2];  // of kLanes columns each
};

// Masks of columns [4 block, 4 block + kDrawn). Counters lie in the lower lanes of pairs, in such an order
// that the words come out in the columns' order: pair 2 i holds block i, pair 2 i + 1 block kLanes / 4 + i.
PENJING_INLINE KeepMasks draw_masks(const Dropout& dropout, uint32_t block, uint64_t row) {
  constexpr int kNext = V::kLanes / 4;
  alignas(64) static constexpr int32_t kOrder[16] = {0, 0, kNext,     0, 1, 0, kNext + 1, 0,
                                                     2, 0, kNext + 2, 0, 3, 0, kNext + 3, 0};
  const V::Int multiplier0 = V::set_int(static_cast<int32_t>(0xD2511F53u));
  const V::Int multiplier1 = V::set_int(static_cast<int32_t>(0xCD9E8D57u));
  V::Int c0 = V::add_int(V::load_int(kOrder), V::set_int(static_cast<int32_t>(block)));
  V::Int c1 = V::set_int(static_cast<int32_t>(row)), c2 = V::set_int(static_cast<int32_t>(row >> 32));
  V::Int c3 = V::set_int(static_cast<int32_t>(dropout.step));
  uint32_t k0 = dropout.seed, k1 = dropout.site;
  for (int round = 0; round < 10; ++round) {
    const V::Int product0 = RowVector::multiply_pairs(c0, multiplier0),
                 product1 = RowVector::multiply_pairs(c2, multiplier1);
    c0 = RowVector::xor_int(RowVector::xor_int(RowVector::upper_of_pairs(product1), c1),
                            V::set_int(static_cast<int32_t>(k0)));
    c2 = RowVector::xor_int(RowVector::xor_int(RowVector::upper_of_pairs(product0), c3),
                            V::set_int(static_cast<int32_t>(k1)));
    c1 = product1, c3 = product0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  const V::Int words01 = RowVector::join_pairs(c0, c1), words23 = RowVector::join_pairs(c2, c3);
  const V::Int threshold = V::set_int(static_cast<int32_t>(dropout.threshold));
  return {{RowVector::at_least_unsigned(RowVector::first_pairs(words01, words23), threshold),
           RowVector::at_least_unsigned(RowVector::second_pairs(words01, words23), threshold)}};
}

PENJING_INLINE V::Float drop(V::Mask keep, V::Float v, float kept) {
  return V::select(keep, V::mul(v, V::set(kept)), V::zero());
}

}  // namespace
