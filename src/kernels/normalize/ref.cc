// The definition in plain loops: one token at a time.
#include <cmath>

#include "kernels/normalize/normalize.h"

namespace penjing::normalize::ref {

namespace {

template <typename Term>
float sum_features(const Args& args, int t, Term term) {
  float s[4] = {0, 0, 0, 0};
  for (int64_t f = 0; f < args.features; ++f) s[f % 4] += term(args.x[f * args.width + t]);
  return (s[0] + s[1]) + (s[2] + s[3]);
}

template <typename Value>
void write_features(const Args& args, int t, Value value) {
  for (int64_t f = 0; f < args.features; ++f) {
    float y = value(args.x[f * args.width + t]) * args.gamma[f];
    if (args.beta != nullptr) y += args.beta[f];
    args.y[f * args.width + t] = y;
  }
}

void layer_norm(const Args& args) {
  const auto count = static_cast<float>(args.features);
  for (int t = 0; t < args.width; ++t) {
    const float mean = sum_features(args, t, [](float v) { return v; }) / count;
    const float variance = sum_features(args, t, [mean](float v) { return (v - mean) * (v - mean); }) / count;
    const float inverse = 1.0f / std::sqrt(variance + args.epsilon);
    write_features(args, t, [mean, inverse](float v) { return (v - mean) * inverse; });
  }
}

void rms_norm(const Args& args) {
  const auto count = static_cast<float>(args.features);
  for (int t = 0; t < args.width; ++t) {
    const float square = sum_features(args, t, [](float v) { return v * v; }) / count;
    const float inverse = 1.0f / std::sqrt(square + args.epsilon);
    write_features(args, t, [inverse](float v) { return v * inverse; });
  }
}

void affine(const Args& args) {
  for (int t = 0; t < args.width; ++t) write_features(args, t, [](float v) { return v; });
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kRef, layer_norm, rms_norm, affine};

}  // namespace penjing::normalize::ref
