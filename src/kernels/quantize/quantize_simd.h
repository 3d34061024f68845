#pragma once

// Quantization of activations over simd/<isa>.h's Vector: include that first.
#include "kernels/quantize/quantize.h"

namespace {

using V = Vector;
using penjing::quantize::Args;

constexpr float kMinNormal = 0x1p-126f, kMaxFinite = 0x1.fffffep127f;

PENJING_INLINE V::Mask is_normal(V::Float positive) {
  return V::both(V::less(V::set(kMinNormal * 0.99999994f), positive),
                 V::less(positive, V::set(__builtin_inff())));
}

// Element f of one strip of lanes, times its multiplier where there is one.
template <bool kMultiplied>
PENJING_INLINE V::Float input(const Args& args, int64_t f, int strip) {
  const V::Float x = V::load(args.x + f * args.width + strip);
  return kMultiplied ? V::mul(x, V::set(args.multiplier[f])) : x;
}

// Codes of one strip of lanes: clamp(round_even(x * inverse) + zero, lowest, highest) + shift.
template <bool kMultiplied>
PENJING_INLINE void write_codes(const Args& args, int strip, V::Float inverse, V::Float zero, float lowest,
                                float highest, float shift) {
  const V::Float lo = V::set(lowest), hi = V::set(highest), offset = V::set(shift);
  for (int64_t f = 0; f < args.features; ++f) {
    const V::Float x = input<kMultiplied>(args, f, strip);
    V::Float code = V::add(V::round_even(V::mul(x, inverse)), zero);
    code = V::add(V::min(V::max(code, lo), hi), offset);
    V::store_bytes(args.codes + f * args.width + strip, V::to_int(code));
  }
  for (int64_t f = args.features; f < (args.features + 3) / 4 * 4; ++f) {
    V::store_bytes(args.codes + f * args.width + strip, V::to_int(V::zero()));
  }
}

template <bool kMultiplied>
PENJING_INLINE void affine_strips(const Args& args) {
  const auto largest = static_cast<float>(args.largest);
  for (int strip = 0; strip < args.width; strip += V::kLanes) {
    V::Float lo = V::zero(), hi = V::zero(), bad = V::zero();
    for (int64_t f = 0; f < args.features; ++f) {
      const V::Float x = input<kMultiplied>(args, f, strip);
      lo = V::min(x, lo);  // lo when x is NaN
      hi = V::max(x, hi);
      bad = V::fma(x, V::zero(), bad);  // NaN once any x is not finite
    }
    const V::Float one = V::set(1.0f);
    const V::Float scale = V::div(V::sub(hi, lo), V::set(largest)), inverse = V::div(one, scale);
    const V::Mask usable = V::both(is_normal(scale), is_normal(inverse));
    const V::Float used_inverse = V::select(usable, inverse, one);
    V::Float zero = V::sub(V::zero(), V::round_even(V::mul(lo, inverse)));
    zero = V::select(usable, V::min(V::max(zero, V::zero()), V::set(largest)), V::zero());
    V::store(args.scale + strip, V::add(V::select(usable, scale, one), bad));
    V::store_int(args.zero_point + strip, V::to_int(zero));
    write_codes<kMultiplied>(args, strip, used_inverse, zero, 0.0f, largest, 0.0f);
  }
}

template <bool kMultiplied>
PENJING_INLINE void symmetric_strips(const Args& args) {
  const auto range = static_cast<float>(args.largest);
  for (int strip = 0; strip < args.width; strip += V::kLanes) {
    V::Float largest = V::zero(), bad = V::zero();
    for (int64_t f = 0; f < args.features; ++f) {
      const V::Float x = input<kMultiplied>(args, f, strip);
      largest = V::max(V::abs(x), largest);
      bad = V::fma(x, V::zero(), bad);
    }
    const V::Float one = V::set(1.0f);
    const V::Float scale = V::div(largest, V::set(range)), inverse = V::div(one, scale);
    const V::Mask usable = V::both(is_normal(scale), is_normal(inverse));
    V::store(args.scale + strip, V::add(V::select(usable, scale, one), bad));
    V::store_int(args.zero_point + strip, V::to_int(V::set(range + 1.0f)));
    write_codes<kMultiplied>(args, strip, V::select(usable, inverse, one), V::zero(), -range, range,
                             range + 1.0f);
  }
}

template <bool kMultiplied>
PENJING_INLINE void fixed_strips(const Args& args) {
  for (int strip = 0; strip < args.width; strip += V::kLanes) {
    V::Float bad = V::zero();
    for (int64_t f = 0; f < args.features; ++f) {
      bad = V::fma(input<kMultiplied>(args, f, strip), V::zero(), bad);
    }
    V::store(args.scale + strip, V::add(V::set(args.fixed_scale), bad));
    const V::Float zero = V::set(static_cast<float>(args.fixed_zero));
    V::store_int(args.zero_point + strip, V::to_int(zero));
    write_codes<kMultiplied>(args, strip, V::set(args.fixed_inverse), zero,
                             static_cast<float>(args.fixed_lowest), static_cast<float>(args.largest), 0.0f);
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
