// The definition: numerics/quantizer.h applied to one token at a time.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/quantize/quantize.h"
#include "numerics/quantizer.h"

namespace penjing::quantize::ref {

namespace {

float input(const Args& args, int64_t f, int t) {
  const float x = args.x[f * args.width + t];
  return args.multiplier == nullptr ? x : x * args.multiplier[f];
}

uint8_t& code_at(const Args& args, int64_t f, int t) {
  return args.codes[args.rows ? f * args.width + t : (f / 4 * args.width + t) * 4 + f % 4];
}

void write_codes(const Args& args, int t, const QuantParams& params, IntegerRange range, int32_t shift,
                 bool finite) {
  args.scale[t] = finite ? params.scale : std::numeric_limits<float>::quiet_NaN();
  args.zero_point[t] = params.zero_point + shift;
  for (int64_t f = 0; f < args.features; ++f) {
    const int32_t code = finite ? quantize_value(input(args, f, t), params, range) : range.min;
    code_at(args, f, t) = static_cast<uint8_t>(code + shift);
  }
  for (int64_t f = args.features; !args.rows && f % 4 != 0; ++f) code_at(args, f, t) = 0;
}

void affine(const Args& args) {
  const IntegerRange range{0, args.largest};
  for (int t = 0; t < args.width; ++t) {
    float lo = 0, hi = 0;
    bool finite = true;
    for (int64_t f = 0; f < args.features; ++f) {
      const float x = input(args, f, t);
      finite = finite && std::isfinite(x);
      lo = std::min(lo, x);
      hi = std::max(hi, x);
    }
    write_codes(args, t, affine_params(lo, hi, range), range, 0, finite);
  }
}

void symmetric(const Args& args) {
  const IntegerRange range{-args.largest, args.largest};
  for (int t = 0; t < args.width; ++t) {
    float largest = 0;
    bool finite = true;
    for (int64_t f = 0; f < args.features; ++f) {
      const float x = input(args, f, t);
      finite = finite && std::isfinite(x);
      largest = std::max(largest, std::fabs(x));
    }
    write_codes(args, t, symmetric_params(largest, range), range, args.largest + 1, finite);
  }
}

void fixed(const Args& args) {
  const IntegerRange range{args.fixed_lowest, args.largest};
  const QuantParams params{args.fixed_scale, args.fixed_inverse, args.fixed_zero};
  for (int t = 0; t < args.width; ++t) {
    bool finite = true;
    for (int64_t f = 0; f < args.features; ++f) finite = finite && std::isfinite(input(args, f, t));
    write_codes(args, t, params, range, 0, finite);
  }
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kRef, affine, symmetric, fixed};

}  // namespace penjing::quantize::ref
