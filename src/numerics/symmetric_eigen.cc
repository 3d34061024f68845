#include "numerics/symmetric_eigen.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"

namespace penjing {

namespace {

using Rows = std::vector<double>;  // [n, n]

double* row_of(Rows& rows, int64_t n, int64_t i) {
  return rows.data() + i * n;
}

double dot(const double* a, const double* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

void add_multiple(double factor, const double* x, double* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] += factor * x[i];
}

struct Tridiagonal {
  std::vector<double> diagonal, below;  // [n]; below[i] couples i and i + 1, below[n - 1] = 0
  Rows basis;                           // Q^T of A = Q T Q^T
};

// Step k reflects the entries of column k under the diagonal onto the first of them: H = I - 2 v v^T with
// |v| = 1, A <- H A H. With p = 2 A v and w = p - (p.v) v that is A - v w^T - w v^T. A is kept whole, so that
// every inner loop runs along a row. Q = H_0 H_1 ...
Tridiagonal tridiagonalise(Rows& a, int64_t n) {
  Tridiagonal t;
  t.diagonal.resize(static_cast<std::size_t>(n));
  t.below.assign(static_cast<std::size_t>(n), 0);
  Rows reflections(a.size(), 0);  // row k: v, from component k + 1 on
  std::vector<double> w(static_cast<std::size_t>(n));
  for (int64_t k = 0; k + 2 < n; ++k) {
    const int64_t begin = k + 1, size = n - begin;
    double* v = row_of(reflections, n, k) + begin;
    std::copy_n(row_of(a, n, k) + begin, size, v);  // row k is column k
    const double norm = std::sqrt(dot(v, v, size)), head = v[0];
    if (norm == 0) continue;
    t.below[static_cast<std::size_t>(k)] = head > 0 ? -norm : norm;
    v[0] = head - t.below[static_cast<std::size_t>(k)];
    const double length = std::sqrt(dot(v, v, size));
    for (int64_t i = 0; i < size; ++i) v[i] /= length;

    std::fill_n(w.begin(), size, 0.0);
    for (int64_t i = 0; i < size; ++i)
      add_multiple(2 * v[i], row_of(a, n, begin + i) + begin, w.data(), size);
    add_multiple(-dot(w.data(), v, size), v, w.data(), size);
    for (int64_t i = 0; i < size; ++i) {
      double* line = row_of(a, n, begin + i) + begin;
      for (int64_t j = 0; j < size; ++j)
        line[j] -= v[i] * w[static_cast<std::size_t>(j)] + w[static_cast<std::size_t>(i)] * v[j];
    }
  }
  if (n >= 2) t.below[static_cast<std::size_t>(n - 2)] = a[static_cast<std::size_t>((n - 1) * n + n - 2)];
  for (int64_t i = 0; i < n; ++i)
    t.diagonal[static_cast<std::size_t>(i)] = a[static_cast<std::size_t>(i * n + i)];

  // Q^T = ... H_1 H_0: from the last reflection on, only the lower right corner is not the identity, so
  // Q^T <- Q^T H_k row by row.
  t.basis.assign(a.size(), 0);
  for (int64_t i = 0; i < n; ++i) row_of(t.basis, n, i)[i] = 1;
  for (int64_t k = n - 3; k >= 0; --k) {
    const int64_t begin = k + 1, size = n - begin;
    const double* v = row_of(reflections, n, k) + begin;
    for (int64_t i = begin; i < n; ++i) {
      double* line = row_of(t.basis, n, i) + begin;
      add_multiple(-2 * dot(line, v, size), v, line, size);
    }
  }
  return t;
}

// Rows i and i + 1 of the basis turned by the angle of cosine c and sine s.
void rotate(Rows& basis, int64_t n, int64_t i, double c, double s) {
  double *x = row_of(basis, n, i), *y = row_of(basis, n, i + 1);
  for (int64_t k = 0; k < n; ++k) {
    const double old = y[k];
    y[k] = s * x[k] + c * old;
    x[k] = c * x[k] - s * old;
  }
}

// QL with implicit shifts: eigenvalue `at` is found when its coupling is below rounding of the diagonal, or
// of the matrix where the diagonal is nearly zero.
void diagonalise(Tridiagonal& t, int64_t n) {
  constexpr int kMaxSteps = 60;  // 2 an eigenvalue is usual
  std::vector<double>&d = t.diagonal, &e = t.below;
  double scale = 0;
  for (int64_t i = 0; i < n; ++i)
    scale = std::max(scale,
                     std::fabs(d[static_cast<std::size_t>(i)]) + std::fabs(e[static_cast<std::size_t>(i)]));
  constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
  for (int64_t at = 0; at < n; ++at) {
    for (int step = 0;; ++step) {
      int64_t end = at;  // the block [at, end] is coupled
      for (; end + 1 < n; ++end) {
        const auto i = static_cast<std::size_t>(end);
        if (std::fabs(e[i]) <= kEpsilon * std::max(std::fabs(d[i]) + std::fabs(d[i + 1]), kEpsilon * scale))
          break;
      }
      if (end == at) break;
      if (step == kMaxSteps)
        fail(ErrorKind::kInternal, "eigenvalue {} of {} was not found in {} steps", at, n, kMaxSteps);
      const auto first = static_cast<std::size_t>(at);
      // Wilkinson's shift, subtracted implicitly by chasing one element outside the tridiagonal up.
      double g = (d[first + 1] - d[first]) / (2 * e[first]);
      g = d[static_cast<std::size_t>(end)] - d[first] + e[first] / (g + std::copysign(std::hypot(g, 1.0), g));
      double c = 1, s = 1, p = 0;
      bool split = false;
      for (int64_t row = end - 1; row >= at; --row) {
        const auto i = static_cast<std::size_t>(row);
        const double f = s * e[i], b = c * e[i], r = std::hypot(f, g);
        e[i + 1] = r;
        if (r == 0) {  // the block falls apart here
          d[i + 1] -= p;
          e[static_cast<std::size_t>(end)] = 0;
          split = true;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        const double q = (d[i] - g) * s + 2 * c * b;
        p = s * q;
        d[i + 1] = g + p;
        g = c * q - b;
        rotate(t.basis, n, row, c, s);
      }
      if (split) continue;
      d[first] -= p;
      e[first] = g;
      e[static_cast<std::size_t>(end)] = 0;
    }
  }
}

}  // namespace

SymmetricEigen decompose_symmetric(std::span<const double> matrix, int64_t n) {
  if (n < 0 || static_cast<int64_t>(matrix.size()) != n * n)
    fail(ErrorKind::kInput, "eigenvalues: {} elements, wanted {} x {}", matrix.size(), n, n);
  Rows a(matrix.begin(), matrix.end());
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j <= i; ++j) {
      const double x = a[static_cast<std::size_t>(i * n + j)];
      if (!std::isfinite(x)) fail(ErrorKind::kFormat, "eigenvalues: element ({}, {}) is {}", i, j, x);
      a[static_cast<std::size_t>(j * n + i)] = x;
    }
  }
  Tridiagonal t = tridiagonalise(a, n);
  diagonalise(t, n);

  std::vector<int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t x, int64_t y) {
    return t.diagonal[static_cast<std::size_t>(x)] > t.diagonal[static_cast<std::size_t>(y)];
  });
  SymmetricEigen result;
  result.vectors.reserve(a.size());
  for (const int64_t i : order) {
    result.values.push_back(t.diagonal[static_cast<std::size_t>(i)]);
    const double* v = row_of(t.basis, n, i);
    const double* largest =
        std::max_element(v, v + n, [](double x, double y) { return std::fabs(x) < std::fabs(y); });
    const double sign = *largest < 0 ? -1 : 1;
    for (int64_t k = 0; k < n; ++k) result.vectors.push_back(sign * v[k]);
  }
  return result;
}

}  // namespace penjing
