// The definition, one element at a time, with the C library's functions.
#include <cmath>
#include <numbers>

#include "kernels/scalar_rows.h"
#include "kernels/train_activation/train_activation.h"

namespace penjing::train_activation::ref {

namespace {

using pointwise::Function;

constexpr float kScale = 0.797884561f, kCubic = 0.044715f;  // sqrt(2 / pi)

float value(Function function, float x) {
  switch (function) {
    case Function::kNone:
      break;
    case Function::kGelu:
      return x * 0.5f * (1 + std::erf(x / std::numbers::sqrt2_v<float>));
    case Function::kGeluTanh:
      return x * 0.5f * (1 + std::tanh(kScale * (x + kCubic * x * x * x)));
    case Function::kRelu:
      return 0 > x ? 0 : x;
    case Function::kSilu:
      return x / (1 + std::exp(-x));
    case Function::kTanh:
      return std::tanh(x);
  }
  return x;
}

float derivative(Function function, float x) {
  switch (function) {
    case Function::kNone:
      break;
    case Function::kGelu:
      return 0.5f * (1 + std::erf(x / std::numbers::sqrt2_v<float>)) +
             x * std::exp(-x * x / 2) * std::numbers::inv_sqrtpi_v<float> / std::numbers::sqrt2_v<float>;
    case Function::kGeluTanh: {
      const float t = std::tanh(kScale * (x + kCubic * x * x * x));
      return 0.5f * (1 + t + x * (1 - t * t) * kScale * (1 + 3 * kCubic * x * x));
    }
    case Function::kRelu:
      return x > 0 ? 1.0f : 0.0f;
    case Function::kSilu: {
      const float s = 1 / (1 + std::exp(-x));
      return s * (1 + x * (1 - s));
    }
    case Function::kTanh:
      return 1 - std::tanh(x) * std::tanh(x);
  }
  return 1;
}

template <typename T>
void forward_values(const Args& args) {
  for (int64_t i = 0; i < args.size; ++i) {
    const float x = train_rows::load(static_cast<const T*>(args.x) + i);
    train_rows::store(static_cast<T*>(args.result) + i, value(args.function, x));
  }
}
template <typename T>
void backward_values(const Args& args) {
  for (int64_t i = 0; i < args.size; ++i) {
    const float x = train_rows::load(static_cast<const T*>(args.x) + i);
    const float dy = train_rows::load(static_cast<const T*>(args.dy) + i);
    train_rows::store(static_cast<T*>(args.result) + i, dy * derivative(args.function, x));
  }
}

void forward(const Args& args) {
  if (args.element == train_rows::Element::kFloat) return forward_values<float>(args);
  forward_values<uint16_t>(args);
}
void backward(const Args& args) {
  if (args.element == train_rows::Element::kFloat) return backward_values<float>(args);
  backward_values<uint16_t>(args);
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kRef, forward, backward};

}  // namespace penjing::train_activation::ref
