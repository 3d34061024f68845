#pragma once

// The exp program over simd/<isa>.h's Vector (include that first): shared by pointwise and attention.
#include "kernels/pointwise/constants.h"

namespace {

using V = Vector;

PENJING_INLINE V::Float exp_vector(V::Float x) {
  using namespace penjing::pointwise;
  const V::Float shifted = V::fma(x, V::set(kLog2E), V::set(kRoundMagic));
  const V::Float n = V::sub(shifted, V::set(kRoundMagic));
  V::Float r = V::fma(n, V::set(-kLn2High), x);
  r = V::fma(n, V::set(-kLn2Low), r);
  V::Float e = V::set(kExpE[4]);
  e = V::fma(e, r, V::set(kExpE[3]));
  e = V::fma(e, r, V::set(kExpE[2]));
  e = V::fma(e, r, V::set(kExpE[1]));
  e = V::fma(e, r, V::set(kExpE[0]));
  const V::Float p = V::add(V::fma(V::mul(r, r), e, r), V::set(1.0f));
  // The low bits of `shifted` are n + 0x4B400000's; shifting left by 23 leaves n in the exponent field.
  V::Float y = V::as_float(V::add_int(V::as_int(p), V::shift_left<23>(V::as_int(shifted))));
  y = V::select(V::less(x, V::set(kExpMin)), V::zero(), y);
  y = V::select(V::less(V::set(kExpMax), x), V::set(__builtin_inff()), y);
  return V::select(V::equal(x, x), y, x);
}

}  // namespace
