#pragma once

// train_attention.h over simd/rows_<isa>.h's RowVector and the exp of pointwise: include both first. Blocks
// of queries walk over all the keys; a block's scores stay in the second cache.
#include "kernels/train_attention/product_simd.h"
#include "kernels/train_attention/train_attention.h"

namespace {

using penjing::train_attention::Backward;
using penjing::train_attention::Forward;
using penjing::train_attention::Shape;

constexpr int64_t kBlock = 48;  // queries: a multiple of kSumRows

PENJING_INLINE int64_t padded(int64_t n) {
  return (n + kDrawn - 1) / kDrawn * kDrawn;
}

// Rows [length][features] as FP32 times `factor`, [length][width], zeros beyond.
template <typename T>
PENJING_INLINE void widen(const T* rows, int64_t stride, int64_t length, int64_t features, int64_t width,
                          float factor, float* out) {
  for (int64_t i = 0; i < length; ++i) {
    for (int64_t d = 0; d < width; d += V::kLanes) {
      const int64_t count = features - d;
      const V::Float v = count > 0 ? load_first(rows + i * stride + d, count) : V::zero();
      V::store(out + i * width + d, V::mul(v, V::set(factor)));
    }
  }
}

// [length][width] -> [features][columns], zeros beyond `length`.
PENJING_INLINE void transpose(const float* rows, int64_t length, int64_t features, int64_t width,
                              int64_t columns, float* out) {
  constexpr int64_t kTile = 8;
  for (int64_t begin = 0; begin < columns; begin += kTile) {
    const int64_t end = begin + kTile;  // columns: a multiple of it
    for (int64_t d = 0; d < features; ++d) {
      for (int64_t i = begin; i < end; ++i) out[d * columns + i] = i < length ? rows[i * width + d] : 0.0f;
    }
  }
}

template <typename T>
PENJING_INLINE void narrow(const float* rows, int64_t width, int64_t length, int64_t features, float factor,
                           T* out, int64_t stride) {
  for (int64_t i = 0; i < length; ++i) {
    for (int64_t d = 0; d < features; d += V::kLanes) {
      store_first(out + i * stride + d, V::mul(V::load(rows + i * width + d), V::set(factor)), features - d);
    }
  }
}

// Keys [begin, end) that queries [first, last) see, begin a multiple of kDrawn; the columns up to `columns`,
// a multiple of kLanes from begin, are worked on.
struct Keys {
  int64_t begin, end, columns;
};
PENJING_INLINE Keys keys_of(const Shape& shape, int64_t first, int64_t last) {
  Keys keys = {0, shape.length, 0};
  if (shape.window > 0) {
    if (first > shape.window) keys.begin = (first - shape.window) / kDrawn * kDrawn;
    if (last - 1 + shape.window < shape.length) keys.end = last + shape.window;
  }
  keys.columns = (keys.end - keys.begin + V::kLanes - 1) / V::kLanes * V::kLanes;
  return keys;
}

// The vector of scores of query i from key j on: bias added, -infinity where nothing may be seen.
PENJING_INLINE V::Float score(const Shape& shape, const Keys& keys, int64_t i, int64_t j, V::Float v) {
  if (shape.bias != nullptr)
    v = V::add(v, V::load_first(shape.bias + i * shape.bias_stride + j, keys.end - j));
  const bool cut = j + V::kLanes > keys.end;
  const bool far = shape.window > 0 && (j < i - shape.window || j + V::kLanes - 1 > i + shape.window);
  if (!cut && !far) return v;
  alignas(64) static constexpr float kLane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  int64_t last = keys.end - 1 - j, first = 0;  // lanes that may be seen
  if (shape.window > 0) {
    if (i + shape.window - j < last) last = i + shape.window - j;
    if (i - shape.window - j > first) first = i - shape.window - j;
  }
  const V::Float lane = V::load(kLane), never = V::set(-__builtin_inff());
  v = V::select(V::less(lane, V::set(static_cast<float>(last + 1))), v, never);
  return V::select(V::less(lane, V::set(static_cast<float>(first))), never, v);
}

PENJING_INLINE uint64_t row_key(const Shape& shape, int64_t i) {
  return static_cast<uint64_t>(shape.sample) << 20 | static_cast<uint64_t>(i);
}
PENJING_INLINE uint32_t column_block(const Shape& shape, int64_t j) {
  return shape.head << 18 | static_cast<uint32_t>(j / 4);
}

// Masks of the row's columns as they are come to.
struct RowMasks {
  const Shape& shape;
  uint64_t row;
  KeepMasks masks;

  PENJING_INLINE RowMasks of(const Shape& whole, int64_t i) { return {whole, row_key(whole, i), {}}; }
  // offset: from keys.begin.
  inline __attribute__((always_inline)) V::Float drop_at(int64_t begin, int64_t offset, V::Float v) {
    const int half = static_cast<int>(offset / V::kLanes % 2);
    if (half == 0) masks = draw_masks(shape.dropout, column_block(shape, begin + offset), row);
    return drop(masks.keep[half], v, shape.dropout.kept);
  }
};

int64_t scratch_floats(int64_t length, int64_t head_dim) {
  const int64_t columns = padded(length), width = padded(head_dim);
  // Backward: q, k, v, d_out as rows, k, v transposed, gradients of k and v; per block P, d_P, d_q; a row.
  return 8 * columns * width + kBlock * (2 * columns + width) + columns;
}

template <typename T>
void forward_rows(const Forward& args) {
  const Shape& shape = args.shape;
  const int64_t length = shape.length, features = shape.head_dim;
  const int64_t columns = padded(length), width = (features + V::kLanes - 1) / V::kLanes * V::kLanes;
  float* q = args.scratch;
  float* k = q + columns * width;
  float* v = k + columns * width;
  float* k_columns = v + columns * width;
  float* scores = k_columns + features * columns;
  float* out = scores + kBlock * columns;
  widen(static_cast<const T*>(args.q), shape.q_stride, length, features, width, shape.scale, q);
  widen(static_cast<const T*>(args.k), shape.k_stride, length, features, width, 1.0f, k);
  widen(static_cast<const T*>(args.v), shape.v_stride, length, features, width, 1.0f, v);
  transpose(k, length, features, width, columns, k_columns);
  const bool dropping = shape.dropout.threshold != 0;
  for (int64_t first = 0; first < length; first += kBlock) {
    const int64_t last = first + kBlock < length ? first + kBlock : length, rows = last - first;
    const Keys keys = keys_of(shape, first, last);
    product<false>({q + first * width, width, 1, k_columns + keys.begin, columns, scores, columns, rows,
                    keys.columns, features});
    float inverses[kBlock];
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t i = first + r;
      float* row = scores + r * columns;
      V::Float highest = V::set(-__builtin_inff());
      for (int64_t c = 0; c < keys.columns; c += V::kLanes) {
        const V::Float s = score(shape, keys, i, keys.begin + c, V::load(row + c));
        V::store(row + c, s);
        highest = V::max(s, highest);
      }
      const float most = RowVector::highest(highest);
      V::Float sum = V::zero();
      RowMasks masks = RowMasks::of(shape, i);
      for (int64_t c = 0; c < keys.columns; c += V::kLanes) {
        V::Float e = exp_vector(V::sub(V::load(row + c), V::set(most)));
        sum = V::add(sum, e);
        if (dropping) e = masks.drop_at(keys.begin, c, e);
        V::store(row + c, e);
      }
      inverses[r] = 1.0f / RowVector::sum(sum);
      if (args.statistics != nullptr) {
        args.statistics[2 * i] = most;
        args.statistics[2 * i + 1] = inverses[r];
      }
    }
    product<false>(
        {scores, columns, 1, v + keys.begin * width, width, out, width, rows, width, keys.end - keys.begin});
    for (int64_t r = 0; r < rows; ++r) {
      narrow(out + r * width, width, 1, features, inverses[r],
             static_cast<T*>(args.out) + (first + r) * shape.out_stride, shape.out_stride);
    }
  }
}

// Of query i: P from the scores (their place then holds P dropped), d_S in the place of d_P.
PENJING_INLINE void backward_row(const Backward& args, const Keys& keys, int64_t i, float* p, float* d_p,
                                 float* products) {
  const Shape& shape = args.shape;
  const V::Float most = V::set(args.statistics[2 * i]), inverse = V::set(args.statistics[2 * i + 1]);
  const bool dropping = shape.dropout.threshold != 0;
  RowMasks masks = RowMasks::of(shape, i);
  V::Float total = V::zero();
  // `products`: P for the moment, since what was dropped is lost in p.
  for (int64_t c = 0; c < keys.columns; c += V::kLanes) {
    const V::Float s = score(shape, keys, i, keys.begin + c, V::load(p + c));
    const V::Float e = V::mul(exp_vector(V::sub(s, most)), inverse);
    V::Float kept = e;
    V::store(products + c, e);
    if (dropping) kept = masks.drop_at(keys.begin, c, e);
    V::store(p + c, kept);
    total = V::fma(kept, V::load(d_p + c), total);
  }
  const V::Float mean = V::set(RowVector::sum(total));
  for (int64_t c = 0; c < keys.columns; c += V::kLanes) {
    const V::Float product = V::mul(V::load(p + c), V::load(d_p + c));
    V::store(d_p + c, V::sub(product, V::mul(V::load(products + c), mean)));
  }
  if (args.d_bias != nullptr) {
    for (int64_t c = 0; c < keys.columns; c += V::kLanes) {
      float* at = args.d_bias + i * shape.bias_stride + keys.begin + c;
      const int64_t count = keys.end - keys.begin - c;
      RowVector::store_first(at, V::add(V::load_first(at, count), V::load(d_p + c)), count);
    }
  }
}

template <typename T>
void backward_rows(const Backward& args) {
  const Shape& shape = args.shape;
  const int64_t length = shape.length, features = shape.head_dim;
  const int64_t columns = padded(length), width = (features + V::kLanes - 1) / V::kLanes * V::kLanes;
  float* q = args.scratch;
  float* k = q + columns * width;
  float* v = k + columns * width;
  float* d_out = v + columns * width;
  float* d_k = d_out + columns * width;
  float* d_v = d_k + columns * width;
  float* k_columns = d_v + columns * width;
  float* v_columns = k_columns + features * columns;
  float* p = v_columns + features * columns;
  float* d_p = p + kBlock * columns;
  float* d_q = d_p + kBlock * columns;
  float* row = d_q + kBlock * width;
  widen(static_cast<const T*>(args.q), shape.q_stride, length, features, width, shape.scale, q);
  widen(static_cast<const T*>(args.k), shape.k_stride, length, features, width, 1.0f, k);
  widen(static_cast<const T*>(args.v), shape.v_stride, length, features, width, 1.0f, v);
  widen(static_cast<const T*>(args.d_out), shape.out_stride, length, features, width, 1.0f, d_out);
  transpose(k, length, features, width, columns, k_columns);
  transpose(v, length, features, width, columns, v_columns);
  for (int64_t i = 0; i < length * width; ++i) d_k[i] = d_v[i] = 0;
  for (int64_t first = 0; first < length; first += kBlock) {
    const int64_t last = first + kBlock < length ? first + kBlock : length, rows = last - first;
    const Keys keys = keys_of(shape, first, last);
    const int64_t seen = keys.end - keys.begin;
    const float* q_rows = q + first * width;
    const float* d_out_rows = d_out + first * width;
    product<false>(
        {q_rows, width, 1, k_columns + keys.begin, columns, p, columns, rows, keys.columns, features});
    product<false>(
        {d_out_rows, width, 1, v_columns + keys.begin, columns, d_p, columns, rows, keys.columns, features});
    for (int64_t r = 0; r < rows; ++r)
      backward_row(args, keys, first + r, p + r * columns, d_p + r * columns, row);
    product<true>({p, 1, columns, d_out_rows, width, d_v + keys.begin * width, width, seen, width, rows});
    product<true>({d_p, 1, columns, q_rows, width, d_k + keys.begin * width, width, seen, width, rows});
    product<false>({d_p, columns, 1, k + keys.begin * width, width, d_q, width, rows, width, seen});
    narrow(d_q, width, rows, features, shape.scale, static_cast<T*>(args.d_q) + first * args.gradient_stride,
           args.gradient_stride);
  }
  narrow(d_k, width, length, features, 1.0f, static_cast<T*>(args.d_k), args.gradient_stride);
  narrow(d_v, width, length, features, 1.0f, static_cast<T*>(args.d_v), args.gradient_stride);
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
