#pragma once

// train_norm.h over simd/rows_<isa>.h's RowVector: include that first.
#include "kernels/simd/rows.h"
#include "kernels/train_norm/train_norm.h"

namespace {

using penjing::train_norm::Backward;
using penjing::train_norm::Forward;
using penjing::train_norm::Norm;
using penjing::train_norm::Shape;

// body(column, lanes in use, half, masks) for each vector of a row; `draw`: the masks are wanted.
template <typename Body>
PENJING_INLINE void each_vector(const Shape& shape, int64_t row, bool draw, const Body& body) {
  KeepMasks masks = {};
  int64_t column = 0;
  for (; column + kDrawn <= shape.width; column += kDrawn) {
    if (draw)
      masks = draw_masks(shape.dropout, static_cast<uint32_t>(column / 4),
                         static_cast<uint64_t>(shape.row_keys[row]));
    body(column, int64_t{V::kLanes}, 0, masks);
    body(column + V::kLanes, int64_t{V::kLanes}, 1, masks);
  }
  if (column == shape.width) return;
  if (draw)
    masks = draw_masks(shape.dropout, static_cast<uint32_t>(column / 4),
                       static_cast<uint64_t>(shape.row_keys[row]));
  const int64_t left = shape.width - column;
  body(column, left < V::kLanes ? left : V::kLanes, 0, masks);
  if (left > V::kLanes) body(column + V::kLanes, left - V::kLanes, 1, masks);
}

// Lanes beyond `count` become 0: a sum of differences must not see them.
PENJING_INLINE V::Float first_of(V::Float v, int64_t count) {
  if (count >= V::kLanes) return v;
  alignas(64) static constexpr float kLane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return V::select(V::less(V::load(kLane), V::set(static_cast<float>(count))), v, V::zero());
}

template <typename T>
void forward_rows(const Forward& args) {
  const Shape& shape = args.shape;
  const bool dropping = shape.dropout.threshold != 0;
  const float inverse_width = 1.0f / static_cast<float>(shape.width);
  for (int64_t row = 0; row < shape.rows; ++row) {
    const int64_t at = row * shape.width;
    const T* x = static_cast<const T*>(args.x) + at;
    const T* residual = args.residual == nullptr ? nullptr : static_cast<const T*>(args.residual) + at;
    T* z = static_cast<T*>(args.z) + at;
    T* y = static_cast<T*>(args.y) + at;
    // The sums are of z as it is stored: what the backward pass reads.
    V::Float sums[2] = {V::zero(), V::zero()};
    each_vector(
        shape, row, dropping,
        [&](int64_t column, int64_t count, int half, const KeepMasks& masks) __attribute__((always_inline)) {
          V::Float v = load_first(x + column, count);
          if (dropping) v = drop(masks.keep[half], v, shape.dropout.kept);
          if (residual != nullptr) v = V::add(load_first(residual + column, count), v);
          store_first(z + column, v, count);
          if (sizeof(T) == 2) v = load_first(z + column, count);
          sums[half] = shape.norm == Norm::kRmsNorm ? V::fma(v, v, sums[half]) : V::add(sums[half], v);
        });
    float mean = 0, inverse = 1;
    if (shape.norm == Norm::kLayerNorm) {
      mean = RowVector::sum(V::add(sums[0], sums[1])) * inverse_width;
      sums[0] = sums[1] = V::zero();
      each_vector(
          shape, row, false,
          [&](int64_t column, int64_t count, int half, const KeepMasks&) __attribute__((always_inline)) {
            const V::Float d = first_of(V::sub(load_first(z + column, count), V::set(mean)), count);
            sums[half] = V::fma(d, d, sums[half]);
          });
    }
    if (shape.norm != Norm::kAffine) {
      const float square = RowVector::sum(V::add(sums[0], sums[1])) * inverse_width;
      inverse = 1.0f / __builtin_sqrtf(square + shape.epsilon);
    }
    if (args.statistics != nullptr) {
      args.statistics[2 * row] = mean;
      args.statistics[2 * row + 1] = inverse;
    }
    each_vector(
        shape, row,
        false, [&](int64_t column, int64_t count, int, const KeepMasks&) __attribute__((always_inline)) {
          V::Float v = V::mul(V::sub(load_first(z + column, count), V::set(mean)), V::set(inverse));
          v = V::mul(v, V::load_first(args.scale + column, count));
          if (args.shift != nullptr) v = V::add(v, V::load_first(args.shift + column, count));
          store_first(y + column, v, count);
        });
  }
}

template <typename T>
void backward_rows(const Backward& args) {
  const Shape& shape = args.shape;
  const bool dropping = shape.dropout.threshold != 0 && args.d_x != nullptr;
  const float inverse_width = 1.0f / static_cast<float>(shape.width);
  for (int64_t row = 0; row < shape.rows; ++row) {
    const int64_t at = row * shape.width;
    const T* dy = static_cast<const T*>(args.dy) + at;
    const T* z = static_cast<const T*>(args.z) + at;
    const V::Float mean = V::set(args.statistics[2 * row]), inverse = V::set(args.statistics[2 * row + 1]);
    V::Float sums[2] = {V::zero(), V::zero()}, products[2] = {V::zero(), V::zero()};
    each_vector(
        shape, row,
        false, [&](int64_t column, int64_t count, int half, const KeepMasks&) __attribute__((always_inline)) {
          const V::Float d = load_first(dy + column, count);
          const V::Float n = V::mul(V::sub(load_first(z + column, count), mean), inverse);
          const V::Float g = V::mul(d, V::load_first(args.scale + column, count));
          sums[half] = V::add(sums[half], g);
          products[half] = V::fma(g, n, products[half]);
          if (args.d_scale != nullptr)
            RowVector::store_first(args.d_scale + column,
                                   V::fma(d, n, V::load_first(args.d_scale + column, count)), count);
          if (args.d_shift != nullptr)
            RowVector::store_first(args.d_shift + column,
                                   V::add(d, V::load_first(args.d_shift + column, count)), count);
        });
    const float sum = shape.norm == Norm::kLayerNorm ? RowVector::sum(V::add(sums[0], sums[1])) : 0;
    const float product = shape.norm != Norm::kAffine ? RowVector::sum(V::add(products[0], products[1])) : 0;
    const V::Float mean_g = V::set(sum * inverse_width), mean_gn = V::set(product * inverse_width);
    T* d_x = args.d_x == nullptr ? nullptr : static_cast<T*>(args.d_x) + at;
    T* d_residual = args.d_residual == nullptr ? nullptr : static_cast<T*>(args.d_residual) + at;
    if (d_x == nullptr && d_residual == nullptr) continue;
    each_vector(
        shape, row, dropping,
        [&](int64_t column, int64_t count, int half, const KeepMasks& masks) __attribute__((always_inline)) {
          const V::Float n = V::mul(V::sub(load_first(z + column, count), mean), inverse);
          const V::Float g =
              V::mul(load_first(dy + column, count), V::load_first(args.scale + column, count));
          V::Float d = V::sub(V::sub(g, mean_g), V::mul(n, mean_gn));
          d = V::mul(d, inverse);
          if (d_residual != nullptr) store_first(d_residual + column, d, count);
          if (dropping) d = drop(masks.keep[half], d, shape.dropout.kept);
          if (d_x != nullptr) store_first(d_x + column, d, count);
        });
  }
}

void forward(const Forward& args) {
  if (args.shape.element == Element::kFloat) return forward_rows<float>(args);
  forward_rows<uint16_t>(args);
}
void backward(const Backward& args) {
  if (args.shape.element == Element::kFloat) return backward_rows<float>(args);
  backward_rows<uint16_t>(args);
}

}  // namespace
