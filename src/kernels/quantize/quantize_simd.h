#pragma once

// Dynamic per-token quantization over simd/<isa>.h's Vector: include that first.
#include "kernels/quantize/quantize.h"

namespace {

using V = Vector;
using penjing::quantize::Args;

constexpr float kMinNormal = 0x1p-126f, kMaxFinite = 0x1.fffffep127f;

PENJING_INLINE V::Mask is_normal(V::Float positive) {
  return V::both(V::less(V::set(kMinNormal * 0.99999994f), positive),
                 V::less(positive, V::set(__builtin_inff())));
}

// Codes of one strip of lanes: clamp(round_even(x * inverse) + zero, lowest, highest) + shift.
PENJING_INLINE void write_codes(const Args& args, int strip, V::Float inverse, V::Float zero, float lowest,
                                float highest, float shift) {
  const V::Float lo = V::set(lowest), hi = V::set(highest), offset = V::set(shift);
  for (int64_t f = 0; f < args.features; ++f) {
    const V::Float x = V::load(args.x + f * args.width + strip);
    V::Float code = V::add(V::round_even(V::mul(x, inverse)), zero);
    code = V::add(V::min(V::max(code, lo), hi), offset);
    V::store_bytes(args.codes + f * args.width + strip, V::to_int(code));
  }
  for (int64_t f = args.features; f < (args.features + 3) / 4 * 4; ++f) {
    V::store_bytes(args.codes + f * args.width + strip, V::to_int(V::zero()));
  }
}

void affine(const Args& args) {
  for (int strip = 0; strip < args.width; strip += V::kLanes) {
    V::Float lo = V::zero(), hi = V::zero(), bad = V::zero();
    for (int64_t f = 0; f < args.features; ++f) {
      const V::Float x = V::load(args.x + f * args.width + strip);
      lo = V::min(x, lo);  // lo when x is NaN
      hi = V::max(x, hi);
      bad = V::fma(x, V::zero(), bad);  // NaN once any x is not finite
    }
    const V::Float one = V::set(1.0f);
    const V::Float scale = V::div(V::sub(hi, lo), V::set(255.0f)), inverse = V::div(one, scale);
    const V::Mask usable = V::both(is_normal(scale), is_normal(inverse));
    const V::Float used_inverse = V::select(usable, inverse, one);
    V::Float zero = V::sub(V::zero(), V::round_even(V::mul(lo, inverse)));
    zero = V::select(usable, V::min(V::max(zero, V::zero()), V::set(255.0f)), V::zero());
    V::store(args.scale + strip, V::add(V::select(usable, scale, one), bad));
    V::store_int(args.zero_point + strip, V::to_int(zero));
    write_codes(args, strip, used_inverse, zero, 0.0f, 255.0f, 0.0f);
  }
}

void symmetric(const Args& args) {
  for (int strip = 0; strip < args.width; strip += V::kLanes) {
    V::Float largest = V::zero(), bad = V::zero();
    for (int64_t f = 0; f < args.features; ++f) {
      const V::Float x = V::load(args.x + f * args.width + strip);
      largest = V::max(V::abs(x), largest);
      bad = V::fma(x, V::zero(), bad);
    }
    const V::Float one = V::set(1.0f);
    const V::Float scale = V::div(largest, V::set(127.0f)), inverse = V::div(one, scale);
    const V::Mask usable = V::both(is_normal(scale), is_normal(inverse));
    V::store(args.scale + strip, V::add(V::select(usable, scale, one), bad));
    V::store_int(args.zero_point + strip, V::to_int(V::set(128.0f)));
    write_codes(args, strip, V::select(usable, inverse, one), V::zero(), -127.0f, 127.0f, 128.0f);
  }
}

}  // namespace
