#pragma once

// Normalisations over simd/<isa>.h's Vector: include that first. One strip of lanes at a time walks down the
// features; the four partial sums of the contract also hide the latency of the additions.
#include "kernels/normalize/normalize.h"

namespace {

using V = Vector;
using penjing::normalize::Args;

struct Sums {
  V::Float s[4];
};
PENJING_INLINE V::Float combine(const Sums& sums) {
  return V::add(V::add(sums.s[0], sums.s[1]), V::add(sums.s[2], sums.s[3]));
}

// Sum over features of term(x[f]), by f mod 4.
template <typename Term>
PENJING_INLINE V::Float sum_features(const float* x, const Args& args, Term term) {
  Sums sums = {{V::zero(), V::zero(), V::zero(), V::zero()}};
  int64_t f = 0;
  for (; f + 4 <= args.features; f += 4) {
    for (int i = 0; i < 4; ++i) sums.s[i] = V::add(sums.s[i], term(V::load(x + (f + i) * args.width)));
  }
  for (int i = 0; f < args.features; ++f, ++i)
    sums.s[i] = V::add(sums.s[i], term(V::load(x + f * args.width)));
  return combine(sums);
}

template <typename Value>
PENJING_INLINE void write_features(int strip, const Args& args, Value value) {
  for (int64_t f = 0; f < args.features; ++f) {
    const int64_t at = f * args.width + strip;
    V::Float y = V::mul(value(V::load(args.x + at)), V::set(args.gamma[f]));
    if (args.beta != nullptr) y = V::add(y, V::set(args.beta[f]));
    V::store(args.y + at, y);
  }
}

void layer_norm(const Args& args) {
  const V::Float count = V::set(static_cast<float>(args.features));
  for (int strip = 0; strip < args.width; strip += V::kLanes) {
    const float* x = args.x + strip;
    const V::Float mean = V::div(sum_features(
                                     x, args, [](V::Float v) __attribute__((always_inline)) { return v; }),
                                 count);
    const V::Float variance = V::div(sum_features(
                                         x, args,
                                         [mean](V::Float v) __attribute__((always_inline)) {
                                           const V::Float d = V::sub(v, mean);
                                           return V::mul(d, d);
                                         }),
                                     count);
    const V::Float inverse = V::div(V::set(1.0f), V::sqrt(V::add(variance, V::set(args.epsilon))));
    write_features(
        strip, args, [ mean, inverse ](V::Float v) __attribute__((always_inline)) {
          return V::mul(V::sub(v, mean), inverse);
        });
  }
}

void rms_norm(const Args& args) {
  const V::Float count = V::set(static_cast<float>(args.features));
  for (int strip = 0; strip < args.width; strip += V::kLanes) {
    const V::Float square = V::div(
        sum_features(
            args.x + strip, args, [](V::Float v) __attribute__((always_inline)) { return V::mul(v, v); }),
        count);
    const V::Float inverse = V::div(V::set(1.0f), V::sqrt(V::add(square, V::set(args.epsilon))));
    write_features(
        strip, args, [inverse](V::Float v) __attribute__((always_inline)) { return V::mul(v, inverse); });
  }
}

void affine(const Args& args) {
  for (int strip = 0; strip < args.width; strip += V::kLanes) {
    write_features(
        strip, args, [](V::Float v) __attribute__((always_inline)) { return v; });
  }
}

}  // namespace
