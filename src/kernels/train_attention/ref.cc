// The definition in plain loops.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/scalar_rows.h"
#include "kernels/train_attention/train_attention.h"

namespace penjing::train_attention::ref {

namespace {

using train_rows::drop;
using train_rows::load;
using train_rows::store;

template <typename T>
float dot(const T* a, const T* b, int64_t features) {
  float sum = 0;
  for (int64_t d = 0; d < features; ++d) sum += load(a + d) * load(b + d);
  return sum;
}

template <typename T>
float score(const Shape& shape, const T* q, const T* k, int64_t i, int64_t j) {
  if (shape.window > 0 && std::abs(i - j) > shape.window) return -std::numeric_limits<float>::infinity();
  const float s = shape.scale * dot(q + i * shape.q_stride, k + j * shape.k_stride, shape.head_dim);
  return shape.bias == nullptr ? s : s + shape.bias[i * shape.bias_stride + j];
}

float drop_at(const Shape& shape, int64_t i, int64_t j, float p) {
  return drop(shape.dropout, static_cast<uint64_t>(shape.sample) << 20 | static_cast<uint64_t>(i),
              shape.head << 20 | static_cast<uint32_t>(j), p);
}

int64_t scratch_floats(int64_t length, int64_t head_dim) {
  return 2 * length + 3 * length * head_dim;  // rows of P and d_P; gradients of q, k and v
}

template <typename T>
void forward_rows(const Forward& args) {
  const Shape& shape = args.shape;
  float* p = args.scratch;
  for (int64_t i = 0; i < shape.length; ++i) {
    float most = -std::numeric_limits<float>::infinity(), sum = 0;
    for (int64_t j = 0; j < shape.length; ++j) {
      p[j] = score(shape, static_cast<const T*>(args.q), static_cast<const T*>(args.k), i, j);
      most = std::max(most, p[j]);
    }
    for (int64_t j = 0; j < shape.length; ++j) {
      p[j] = std::exp(p[j] - most);
      sum += p[j];
    }
    if (args.statistics != nullptr) {
      args.statistics[2 * i] = most;
      args.statistics[2 * i + 1] = 1 / sum;
    }
    for (int64_t j = 0; j < shape.length; ++j) p[j] = drop_at(shape, i, j, p[j]);
    for (int64_t d = 0; d < shape.head_dim; ++d) {
      float out = 0;
      for (int64_t j = 0; j < shape.length; ++j)
        out += p[j] * load(static_cast<const T*>(args.v) + j * shape.v_stride + d);
      store(static_cast<T*>(args.out) + i * shape.out_stride + d, out / sum);
    }
  }
}

template <typename T>
void backward_rows(const Backward& args) {
  const Shape& shape = args.shape;
  const int64_t length = shape.length, features = shape.head_dim;
  const T *q = static_cast<const T*>(args.q), *k = static_cast<const T*>(args.k),
          *v = static_cast<const T*>(args.v), *d_out = static_cast<const T*>(args.d_out);
  float *p = args.scratch, *d_p = p + length, *d_q = d_p + length, *d_k = d_q + length * features,
        *d_v = d_k + length * features;
  std::fill(d_q, d_q + 3 * length * features, 0.0f);
  for (int64_t i = 0; i < length; ++i) {
    const T* d_row = d_out + i * shape.out_stride;
    float total = 0;
    for (int64_t j = 0; j < length; ++j) {
      p[j] = std::exp(score(shape, q, k, i, j) - args.statistics[2 * i]) * args.statistics[2 * i + 1];
      d_p[j] = drop_at(shape, i, j, dot(d_row, v + j * shape.v_stride, features));
      total += p[j] * d_p[j];
    }
    for (int64_t j = 0; j < length; ++j) {
      const float d_s = p[j] * (d_p[j] - total), kept = drop_at(shape, i, j, p[j]);
      if (args.d_bias != nullptr) args.d_bias[i * shape.bias_stride + j] += d_s;
      for (int64_t d = 0; d < features; ++d) {
        d_q[i * features + d] += shape.scale * d_s * load(k + j * shape.k_stride + d);
        d_k[j * features + d] += shape.scale * d_s * load(q + i * shape.q_stride + d);
        d_v[j * features + d] += kept * load(d_row + d);
      }
    }
  }
  for (int64_t i = 0; i < length; ++i) {
    for (int64_t d = 0; d < features; ++d) {
      store(static_cast<T*>(args.d_q) + i * args.gradient_stride + d, d_q[i * features + d]);
      store(static_cast<T*>(args.d_k) + i * args.gradient_stride + d, d_k[i * features + d]);
      store(static_cast<T*>(args.d_v) + i * args.gradient_stride + d, d_v[i * features + d]);
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
const Kernel kernel = {Isa::kRef, scratch_floats, forward, backward};

}  // namespace penjing::train_attention::ref
