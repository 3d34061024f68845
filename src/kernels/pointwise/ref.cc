// The definition: plain scalar programs, operation by operation what every instruction set does.
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/pointwise/constants.h"
#include "kernels/pointwise/scalar.h"

namespace penjing::pointwise {

float exp_scalar(float x) {
  if (std::isnan(x)) return x;
  if (x < kExpMin) return 0.0f;
  if (x > kExpMax) return std::numeric_limits<float>::infinity();
  const float shifted = std::fma(x, kLog2E, kRoundMagic);
  const float n = shifted - kRoundMagic;
  float r = std::fma(n, -kLn2High, x);
  r = std::fma(n, -kLn2Low, r);
  float e = kExpE[4];
  for (int i = 3; i >= 0; --i) e = std::fma(e, r, kExpE[i]);
  const float p = std::fma(r * r, e, r) + 1.0f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(p) + (std::bit_cast<uint32_t>(shifted) << 23));
}

namespace {

// erf(scaled / kErfScale) for scaled >= 0.
float erf_of_scaled(float scaled) {
  const float s = kErfLargest < scaled ? kErfLargest : scaled;
  const float shifted = s + kRoundMagic;
  const float t = s - (shifted - kRoundMagic);
  const uint32_t i = std::bit_cast<uint32_t>(shifted) % 16;  // of a NaN any: t is one, and so the result
  float p = kErf[5][i];
  for (int power = 4; power >= 0; --power) p = std::fma(p, t, kErf[power][i]);
  return p;
}

}  // namespace

float erf_scalar(float x) {
  return std::copysign(erf_of_scaled(std::fabs(x) * kErfScale), x);
}

float tanh_scalar(float x) {
  const float a = std::fabs(x);
  const float e = exp_scalar(a + a);
  return std::copysign(1.0f - 2.0f / (e + 1.0f), x);
}

float apply_scalar(Function function, float x) {
  switch (function) {
    case Function::kNone:
      break;
    case Function::kGelu: {
      const float a = std::fabs(x);
      return std::fma(a, erf_of_scaled(a * kGeluErfScale), x) * 0.5f;
    }
    case Function::kGeluTanh: {
      const float cubic = x * x * x * kGeluCubic;
      return (x * 0.5f) * (1.0f + tanh_scalar(kGeluScale * (x + cubic)));
    }
    case Function::kRelu:
      return 0.0f > x ? 0.0f : x;
    case Function::kSilu:
      return x / (1.0f + exp_scalar(0.0f - x));
    case Function::kTanh:
      return tanh_scalar(x);
  }
  return x;
}

namespace ref {
namespace {

void apply(Function function, float* x, int64_t size) {
  for (int64_t i = 0; i < size; ++i) x[i] = apply_scalar(function, x[i]);
}
void exp_array(float* x, int64_t size) {
  for (int64_t i = 0; i < size; ++i) x[i] = exp_scalar(x[i]);
}
void erf_array(float* x, int64_t size) {
  for (int64_t i = 0; i < size; ++i) x[i] = erf_scalar(x[i]);
}
void multiply(float* y, const float* x, int64_t size) {
  for (int64_t i = 0; i < size; ++i) y[i] *= x[i];
}
void add(float* y, const float* x, int64_t size) {
  for (int64_t i = 0; i < size; ++i) y[i] += x[i];
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kRef, apply, exp_array, erf_array, multiply, add};

}  // namespace ref
}  // namespace penjing::pointwise
