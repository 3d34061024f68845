#pragma once

// Quantization of activations over simd/<isa>.h's Vector: include that first.
#include "kernels/quantize/quantize.h"
#include "kernels/quantize/symmetric_simd.h"

namespace {

using V = Vector;
using penjing::quantize::Args;

// Element f of one strip of lanes, times its multiplier where there is one.
template <bool kMultiplied>
PENJING_INLINE V::Float input(const Args& args, int64_t f, int strip) {
  const V::Float x = V::load(args.x + f * args.width + strip);
  return kMultiplied ? V::mul(x, V::set(args.multiplier[f])) : x;
}

// Larger products become the largest integer code all the same, and convert to int32.
constexpr float kLargestProduct = 0x1p30f;

// Codes of one strip of lanes: clamp(round_even(x * inverse) + zero, lowest, highest), NaN giving the lowest.
template <bool kMultiplied>
PENJING_INLINE void write_codes(const Args& shared, int strip, V::Float inverse, V::Int zero, int lowest,
                                int highest) {
  const Args args = shared;  // stores could change what is shared
  const auto code_of = [&](int64_t f) __attribute__((always_inline)) {
    const V::Float x = V::mul(input<kMultiplied>(args, f, strip), inverse);
    return V::add_int(V::to_int(V::min(V::set(kLargestProduct), x)), zero);
  };
  const auto clamped = [&](int64_t f) __attribute__((always_inline)) {
    return V::min_int(V::max_int(code_of(f), V::set_int(lowest)), V::set_int(highest));
  };
  if (args.rows) {
    for (int64_t f = 0; f < args.features; ++f) {
      V::store_bytes(args.codes + f * args.width + strip, clamped(f));
    }
    return;
  }
  const V::Int low = V::set_int(lowest * 0x01010101), high = V::set_int(highest * 0x01010101);
  auto* out = reinterpret_cast<int32_t*>(args.codes) + strip;
  int64_t f = 0;
  for (; f + 4 <= args.features; f += 4, out += args.width) {
    const V::Int quads = V::pack_quads(code_of(f), code_of(f + 1), code_of(f + 2), code_of(f + 3));
    V::store_int(out, V::min_bytes(V::max_bytes(quads, low), high));
  }
  if (f < args.features) {
    V::Int code[4] = {clamped(f), V::set_int(0), V::set_int(0), V::set_int(0)};
    if (f + 1 < args.features) code[1] = clamped(f + 1);
    if (f + 2 < args.features) code[2] = clamped(f + 2);
    V::store_int(out, join_quad(code));
  }
}

// What a pass over a strip finds. Chains over f mod 4, because one addition waits for the one before.
struct Range {
  V::Float lo, hi;
  V::Float bad;  // 0, or NaN once any x is not finite
};
template <bool kMultiplied>
PENJING_INLINE Range find_range(const Args& args, int strip) {
  Range range[4];
  for (Range& r : range) r = {V::zero(), V::zero(), V::zero()};
  const auto include = [&](Range & r, int64_t f) __attribute__((always_inline)) {
    const V::Float x = input<kMultiplied>(args, f, strip);
    r.lo = V::min(x, r.lo);  // lo when x is NaN
    r.hi = V::max(x, r.hi);
    r.bad = V::fma(x, V::zero(), r.bad);
  };
  int64_t f = 0;
  for (; f + 4 <= args.features; f += 4) {
    for (int i = 0; i < 4; ++i) include(range[i], f + i);
  }
  for (; f < args.features; ++f) include(range[0], f);
  return {V::min(V::min(range[0].lo, range[1].lo), V::min(range[2].lo, range[3].lo)),
          V::max(V::max(range[0].hi, range[1].hi), V::max(range[2].hi, range[3].hi)),
          V::add(V::add(range[0].bad, range[1].bad), V::add(range[2].bad, range[3].bad))};
}

template <bool kMultiplied>
PENJING_INLINE void affine_strips(const Args& args) {
  const auto largest = static_cast<float>(args.largest);
  for (int strip = 0; strip < args.width; strip += V::kLanes) {
    const Range range = find_range<kMultiplied>(args, strip);
    const V::Float one = V::set(1.0f);
    const V::Float scale = V::div(V::sub(range.hi, range.lo), V::set(largest));
    const V::Float inverse = V::div(one, scale);
    const V::Mask usable = V::both(is_normal(scale), is_normal(inverse));
    const V::Float used_inverse = V::select(usable, inverse, one);
    V::Float zero = V::sub(V::zero(), V::round_even(V::mul(range.lo, inverse)));
    zero = V::select(usable, V::min(V::max(zero, V::zero()), V::set(largest)), V::zero());
    V::store(args.scale + strip, V::add(V::select(usable, scale, one), range.bad));
    V::store_int(args.zero_point + strip, V::to_int(zero));
    write_codes<kMultiplied>(args, strip, used_inverse, V::to_int(zero), 0, args.largest);
  }
}

template <bool kMultiplied>
PENJING_INLINE void symmetric_strips(const Args& args) {
  const auto limit = static_cast<float>(args.largest);
  for (int strip = 0; strip < args.width; strip += V::kLanes) {
    const Range range = find_range<kMultiplied>(args, strip);
    const V::Float largest = V::max(range.hi, V::sub(V::zero(), range.lo));
    const Symmetric params = symmetric_params(largest, limit);
    V::store(args.scale + strip, V::add(params.scale, range.bad));
    const V::Int zero = V::set_int(args.largest + 1);
    V::store_int(args.zero_point + strip, zero);
    write_codes<kMultiplied>(args, strip, params.inverse, zero, 1, 2 * args.largest + 1);
  }
}

template <bool kMultiplied>
PENJING_INLINE void fixed_strips(const Args& args) {
  for (int strip = 0; strip < args.width; strip += V::kLanes) {
    const Range range = find_range<kMultiplied>(args, strip);
    V::store(args.scale + strip, V::add(V::set(args.fixed_scale), range.bad));
    const V::Int zero = V::set_int(args.fixed_zero);
    V::store_int(args.zero_point + strip, zero);
    write_codes<kMultiplied>(args, strip, V::set(args.fixed_inverse), zero, args.fixed_lowest, args.largest);
  }
}

void affine(const Args& args) {
  args.multiplier == nullptr ? affine_strips<false>(args) : affine_strips<true>(args);
}
void symmetric(const Args& args) {
  args.multiplier == nullptr ? symmetric_strips<false>(args) : symmetric_strips<true>(args);
}
void fixed(const Args& args) {
  args.multiplier == nullptr ? fixed_strips<false>(args) : fixed_strips<true>(args);
}

}  // namespace
