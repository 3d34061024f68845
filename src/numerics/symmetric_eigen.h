#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace penjing {

// A = sum_i values[i] * v_i v_i^T of a symmetric matrix, the eigenvalues from the largest to the smallest.
struct SymmetricEigen {
  std::vector<double> values;   // [n]
  std::vector<double> vectors;  // [n, n]: row i is v_i, of length 1; its largest component (the first of
                                // equals) is positive
};

// Householder's tridiagonalisation and QL steps with implicit shifts (Golub and Van Loan, Matrix
// Computations, 8.3), in double: errors of about 1e-15 * n of the largest eigenvalue, 10 n^3 operations
// (n = 768: half a second), and one order of operations, so the same bits wherever the square root and
// the arithmetic are IEEE's. matrix: [n, n]; only its lower triangle is read. kInput: a size that is not n
// x n; kFormat: an element that is not finite.
SymmetricEigen decompose_symmetric(std::span<const double> matrix, int64_t n);

}  // namespace penjing
