#include "eval/matrix_product.h"

// The loader picks the widest form that the CPU has. Not under the sanitizers: they are not yet started when
// the loader asks.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__clang__)
#define PENJING_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define PENJING_CLONES
#endif

namespace penjing {

namespace {

typedef double Lanes __attribute__((vector_size(64), aligned(8), may_alias));
constexpr int64_t kLanes = 8;

// kRows rows of C, 16 columns at a time, in registers.
template <int kRows>
inline __attribute__((always_inline)) void add_rows(const double* a, int64_t lda, const double* b,
                                                    int64_t ldb, double* c, int64_t ldc, int64_t depth,
                                                    int64_t columns) {
  for (int64_t column = 0; column < columns; column += kProductColumns) {
    Lanes sums[kRows][2];
    for (int r = 0; r < kRows; ++r) {
      sums[r][0] = *reinterpret_cast<const Lanes*>(c + r * ldc + column);
      sums[r][1] = *reinterpret_cast<const Lanes*>(c + r * ldc + column + kLanes);
    }
    for (int64_t k = 0; k < depth; ++k) {
      const Lanes first = *reinterpret_cast<const Lanes*>(b + k * ldb + column);
      const Lanes second = *reinterpret_cast<const Lanes*>(b + k * ldb + column + kLanes);
      for (int r = 0; r < kRows; ++r) {
        const double scalar = a[r * lda + k];
        sums[r][0] += scalar * first;
        sums[r][1] += scalar * second;
      }
    }
    for (int r = 0; r < kRows; ++r) {
      *reinterpret_cast<Lanes*>(c + r * ldc + column) = sums[r][0];
      *reinterpret_cast<Lanes*>(c + r * ldc + column + kLanes) = sums[r][1];
    }
  }
}

}  // namespace

PENJING_CLONES void add_product(const double* a, int64_t lda, const double* b, int64_t ldb, double* c,
                                int64_t ldc, int64_t rows, int64_t depth, int64_t columns) {
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4)
    add_rows<4>(a + row * lda, lda, b, ldb, c + row * ldc, ldc, depth, columns);
  for (; row < rows; ++row) add_rows<1>(a + row * lda, lda, b, ldb, c + row * ldc, ldc, depth, columns);
}

}  // namespace penjing
