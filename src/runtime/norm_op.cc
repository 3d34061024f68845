#include "runtime/norm_op.h"

#include <cmath>
#include <string>

#include "base/error.h"
#include "kernels/panel.h"

namespace penjing {
namespace {

AlignedBuffer<float> read_vector(const Model& model, const std::string& name, int64_t width) {
  const Tensor& tensor = model.tensors.at(name);
  if (tensor.shape != Shape{width}) {
    fail(ErrorKind::kFormat, "{}: shape {} where [{}] is wanted", name, to_string(tensor.shape), width);
  }
  AlignedBuffer<float> values(static_cast<std::size_t>((width + 15) / 16 * 16));
  read_floats(tensor, 0, values.span().first(static_cast<std::size_t>(width)), name);
  return values;
}

}  // namespace

PackedNorm pack_norm(const Model& model, const NormSpec& spec) {
  PackedNorm norm;
  const normalize::Kernel& kernel = normalize::select();
  switch (spec.kind) {
    case NormKind::kLayerNorm:
      norm.kernel = kernel.layer_norm;
      break;
    case NormKind::kRmsNorm:
      norm.kernel = kernel.rms_norm;
      break;
    case NormKind::kAffine:
      norm.kernel = kernel.affine;
      break;
  }
  norm.gamma = read_vector(model, spec.name + ".weight", spec.width);
  if (spec.bias) norm.beta = read_vector(model, spec.name + ".bias", spec.width);
  norm.features = spec.width;
  norm.epsilon = spec.epsilon;
  return norm;
}

void normalize_l2(const float* x, float* y, int64_t features, int width) {
  float sum[kPanelTokens] = {};
  for (int64_t f = 0; f < features; ++f) {
    for (int t = 0; t < width; ++t) sum[t] += x[f * width + t] * x[f * width + t];
  }
  for (int t = 0; t < width; ++t) {
    const float length = std::sqrt(sum[t]);
    sum[t] = length < 1e-12f ? 1e-12f : length;  // a NaN stays one, and is noticed in the result
  }
  for (int64_t f = 0; f < features; ++f) {
    for (int t = 0; t < width; ++t) y[f * width + t] = x[f * width + t] / sum[t];
  }
}

}  // namespace penjing
