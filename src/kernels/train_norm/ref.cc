// The definition in plain loops.
#include <cmath>

#include "kernels/scalar_rows.h"
#include "kernels/train_norm/train_norm.h"

namespace penjing::train_norm::ref {

namespace {

using train_rows::drop;
using train_rows::load;
using train_rows::store;

uint64_t key_of(const Shape& shape, int64_t row) {
  return shape.row_keys == nullptr ? 0 : static_cast<uint64_t>(shape.row_keys[row]);
}

template <typename T>
void forward_rows(const Forward& args) {
  const Shape& shape = args.shape;
  const auto width = static_cast<float>(shape.width);
  for (int64_t row = 0; row < shape.rows; ++row) {
    const int64_t at = row * shape.width;
    const T* x = static_cast<const T*>(args.x) + at;
    T* z = static_cast<T*>(args.z) + at;
    T* y = static_cast<T*>(args.y) + at;
    float mean = 0, inverse = 1, square = 0;
    for (int64_t c = 0; c < shape.width; ++c) {
      float v = drop(shape.dropout, key_of(shape, row), static_cast<uint32_t>(c), load(x + c));
      if (args.residual != nullptr) v += load(static_cast<const T*>(args.residual) + at + c);
      store(z + c, v);
      mean += load(z + c);
    }
    mean = shape.norm == Norm::kLayerNorm ? mean / width : 0;
    if (shape.norm != Norm::kAffine) {
      for (int64_t c = 0; c < shape.width; ++c) square += (load(z + c) - mean) * (load(z + c) - mean);
      inverse = 1 / std::sqrt(square / width + shape.epsilon);
    }
    if (args.statistics != nullptr) {
      args.statistics[2 * row] = mean;
      args.statistics[2 * row + 1] = inverse;
    }
    for (int64_t c = 0; c < shape.width; ++c) {
      const float v = (load(z + c) - mean) * inverse * args.scale[c];
      store(y + c, args.shift == nullptr ? v : v + args.shift[c]);
    }
  }
}

template <typename T>
void backward_rows(const Backward& args) {
  const Shape& shape = args.shape;
  const auto width = static_cast<float>(shape.width);
  for (int64_t row = 0; row < shape.rows; ++row) {
    const int64_t at = row * shape.width;
    const T* dy = static_cast<const T*>(args.dy) + at;
    const T* z = static_cast<const T*>(args.z) + at;
    const float mean = args.statistics[2 * row], inverse = args.statistics[2 * row + 1];
    float mean_g = 0, mean_gn = 0;
    for (int64_t c = 0; c < shape.width; ++c) {
      const float d = load(dy + c), n = (load(z + c) - mean) * inverse;
      mean_g += d * args.scale[c] / width;
      mean_gn += d * args.scale[c] * n / width;
      if (args.d_scale != nullptr) args.d_scale[c] += d * n;
      if (args.d_shift != nullptr) args.d_shift[c] += d;
    }
    if (shape.norm != Norm::kLayerNorm) mean_g = 0;
    if (shape.norm == Norm::kAffine) mean_gn = 0;
    for (int64_t c = 0; c < shape.width; ++c) {
      const float n = (load(z + c) - mean) * inverse;
      const float d = (load(dy + c) * args.scale[c] - mean_g - n * mean_gn) * inverse;
      if (args.d_residual != nullptr) store(static_cast<T*>(args.d_residual) + at + c, d);
      if (args.d_x != nullptr) {
        store(static_cast<T*>(args.d_x) + at + c,
              drop(shape.dropout, key_of(shape, row), static_cast<uint32_t>(c), d));
      }
    }
  }
}

void forward(const Forward& args) {
  if (args.shape.element == train_rows::Element::kFloat) return forward_rows<float>(args);
  forward_rows<uint16_t>(args);
}
void backward(const Backward& args) {
  if (args.shape.element == train_rows::Element::kFloat) return backward_rows<float>(args);
  backward_rows<uint16_t>(args);
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kRef, forward, backward};

}  // namespace penjing::train_norm::ref
