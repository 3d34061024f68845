#pragma once

#include <cstdint>

namespace penjing {

// Columns of B and C come in multiples of this.
inline constexpr int64_t kProductColumns = 16;

// C [rows, columns] += A [rows, depth] * B [depth, columns], FP64, row-major with the given distances between
// rows. Each element of C is one chain over depth ascending, products rounded before they are added: the same
// bits on every instruction set. For training on the user's machine; models run through src/kernels/.
void add_product(const double* a, int64_t lda, const double* b, int64_t ldb, double* c, int64_t ldc,
                 int64_t rows, int64_t depth, int64_t columns);

}  // namespace penjing
