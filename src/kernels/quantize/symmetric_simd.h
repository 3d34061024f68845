#pragma once

// Symmetric scales (numerics/quantizer.h) over simd/<isa>.h's Vector: include that first.
namespace {

using V = Vector;

constexpr float kMinNormal = 0x1p-126f, kMaxFinite = 0x1.fffffep127f;

PENJING_INLINE V::Mask is_normal(V::Float positive) {
  return V::both(V::less(V::set(kMinNormal * 0.99999994f), positive),
                 V::less(positive, V::set(__builtin_inff())));
}

struct Symmetric {
  V::Float scale, inverse;
};
PENJING_INLINE Symmetric symmetric_params(V::Float largest, float limit) {
  const V::Float one = V::set(1.0f);
  const V::Float scale = V::div(largest, V::set(limit)), inverse = V::div(one, scale);
  const V::Mask usable = V::both(is_normal(scale), is_normal(inverse));
  return {V::select(usable, scale, one), V::select(usable, inverse, one)};
}

// Four codes of a lane, each in [0, 255], to its 32 bits, the first lowest.
PENJING_INLINE V::Int join_quad(const V::Int (&code)[4]) {
  return V::or_int(V::or_int(code[0], V::shift_left<8>(code[1])),
                   V::or_int(V::shift_left<16>(code[2]), V::shift_left<24>(code[3])));
}

}  // namespace
