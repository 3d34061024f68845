#pragma once

// Small FP32 matrix products over simd/rows_<isa>.h's RowVector, for operands that lie in the caches.
#include "kernels/simd/rows.h"

namespace {

// C [m][n] = (or +=) A B. A's element (i, p) lies at a[i row_step + p step]: a matrix or its transpose.
// B [k][n] and C are row-major; n, and what lies beyond, is a multiple of kLanes.
struct Product {
  const float* a;
  int64_t row_step, step;
  const float* b;
  int64_t b_stride;
  float* c;
  int64_t c_stride;
  int64_t m, n, k;
};

// Sums in registers: enough chains for the latency of an FMA, and loads fewer than FMAs.
constexpr int kSumRows = V::kLanes == 16 ? 8 : 6;
constexpr int kSumVectors = V::kLanes == 16 ? 3 : 2;

template <bool Add, int Rows, int Vectors>
void product_block(const Product& of, int64_t row, int64_t column) {
  V::Float sums[Rows][Vectors];
  const float* a = of.a + row * of.row_step;
  const float* b = of.b + column;
  float* c = of.c + row * of.c_stride + column;
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Vectors; ++v) {
      sums[r][v] = Add ? V::load(c + r * of.c_stride + v * V::kLanes) : V::zero();
    }
  }
  for (int64_t p = 0; p < of.k; ++p) {
    V::Float right[Vectors];
    for (int v = 0; v < Vectors; ++v) right[v] = V::load(b + v * V::kLanes);
    for (int r = 0; r < Rows; ++r) {
      const V::Float left = V::set(a[r * of.row_step]);
      for (int v = 0; v < Vectors; ++v) sums[r][v] = V::fma(left, right[v], sums[r][v]);
    }
    a += of.step;
    b += of.b_stride;
  }
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Vectors; ++v) V::store(c + r * of.c_stride + v * V::kLanes, sums[r][v]);
  }
}

// Rows [0, m) of `Vectors` vectors of columns.
template <bool Add, int Vectors>
void product_columns(const Product& of, int64_t column) {
  int64_t row = 0;
  for (; row + kSumRows <= of.m; row += kSumRows) product_block<Add, kSumRows, Vectors>(of, row, column);
  for (; row + 4 <= of.m; row += 4) product_block<Add, 4, Vectors>(of, row, column);
  for (; row + 2 <= of.m; row += 2) product_block<Add, 2, Vectors>(of, row, column);
  for (; row < of.m; ++row) product_block<Add, 1, Vectors>(of, row, column);
}

template <bool Add>
void product(const Product& of) {
  int64_t vectors = of.n / V::kLanes, column = 0;
  while (vectors > 0) {
    const int64_t blocks = (vectors + kSumVectors - 1) / kSumVectors;
    const int64_t now = (vectors + blocks - 1) / blocks;
    if constexpr (kSumVectors == 3) {
      if (now == 3) product_columns<Add, 3>(of, column);
    }
    if (now == 2) product_columns<Add, 2>(of, column);
    if (now == 1) product_columns<Add, 1>(of, column);
    column += now * V::kLanes;
    vectors -= now;
  }
}

}  // namespace
