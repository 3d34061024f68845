#include "numerics/symmetric_eigen.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/rng.h"

namespace penjing {
namespace {

std::vector<double> random_symmetric(int64_t n, uint64_t seed) {
  Rng rng(seed);
  std::vector<double> a(static_cast<std::size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j <= i; ++j)
      a[static_cast<std::size_t>(i * n + j)] = a[static_cast<std::size_t>(j * n + i)] = double{rng.normal()};
  }
  return a;
}

// A = V^T diag(values) V, rows of V orthonormal, values descending: all to 1e-14 * n of the largest.
void expect_decomposes(const std::vector<double>& a, int64_t n, const SymmetricEigen& eigen) {
  ASSERT_EQ(static_cast<int64_t>(eigen.values.size()), n);
  double scale = 1e-300;
  for (const double value : eigen.values) scale = std::max(scale, std::fabs(value));
  const double bound = 1e-14 * static_cast<double>(n) * scale;
  const auto v = [&](int64_t i, int64_t k) { return eigen.vectors[static_cast<std::size_t>(i * n + k)]; };
  double worst = 0, worst_angle = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double element = 0, product = 0;
      for (int64_t k = 0; k < n; ++k) {
        element += eigen.values[static_cast<std::size_t>(k)] * v(k, i) * v(k, j);
        product += v(i, k) * v(j, k);
      }
      worst = std::max(worst, std::fabs(element - a[static_cast<std::size_t>(i * n + j)]));
      worst_angle = std::max(worst_angle, std::fabs(product - (i == j ? 1.0 : 0.0)));
    }
  }
  EXPECT_LE(worst, bound);
  EXPECT_LE(worst_angle, 1e-14 * static_cast<double>(n));
  EXPECT_TRUE(std::is_sorted(eigen.values.rbegin(), eigen.values.rend()));
  for (int64_t i = 0; i < n; ++i) {
    double largest = 0;
    for (int64_t k = 0; k < n; ++k) {
      if (std::fabs(v(i, k)) > std::fabs(largest)) largest = v(i, k);
    }
    EXPECT_GT(largest, 0);
  }
}

TEST(SymmetricEigen, RebuildsRandomMatrices) {
  for (const int64_t n : {1, 2, 3, 4, 7, 32, 65, 150}) {
    const std::vector<double> a = random_symmetric(n, static_cast<uint64_t>(n));
    expect_decomposes(a, n, decompose_symmetric(a, n));
  }
}

// The second difference: 2 - 2 cos(pi k / (n + 1)), k = n ... 1.
TEST(SymmetricEigen, KnownSpectrumOfTheSecondDifference) {
  constexpr int64_t kSize = 60;
  std::vector<double> a(kSize * kSize, 0);
  for (std::size_t i = 0; i < kSize; ++i) {
    a[i * kSize + i] = 2;
    if (i > 0) a[i * kSize + i - 1] = a[(i - 1) * kSize + i] = -1;
  }
  const SymmetricEigen eigen = decompose_symmetric(a, kSize);
  for (int64_t i = 0; i < kSize; ++i) {
    const double wanted =
        2 - 2 * std::cos(std::numbers::pi * static_cast<double>(kSize - i) / static_cast<double>(kSize + 1));
    EXPECT_NEAR(eigen.values[static_cast<std::size_t>(i)], wanted, 1e-13);
  }
  expect_decomposes(a, kSize, eigen);
}

// Hilbert's 3 x 3, of values known to 16 digits; and its condition in size 10, which Jacobi-like loss of the
// small values would show.
TEST(SymmetricEigen, KnownSpectrumOfHilbertsMatrix) {
  const auto hilbert = [](int64_t n) {
    std::vector<double> a;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) a.push_back(1.0 / static_cast<double>(i + j + 1));
    }
    return a;
  };
  const SymmetricEigen three = decompose_symmetric(hilbert(3), 3);
  EXPECT_NEAR(three.values[0], 1.4083189271236538, 1e-15);
  EXPECT_NEAR(three.values[1], 0.12232706585390584, 1e-15);
  EXPECT_NEAR(three.values[2], 0.0026873403557735292, 1e-15);
  expect_decomposes(hilbert(10), 10, decompose_symmetric(hilbert(10), 10));
}

// Diagonal, zero, of rank one, with equal values: what a second moment of few texts looks like.
TEST(SymmetricEigen, DegenerateMatrices) {
  constexpr int64_t kSize = 40;
  std::vector<double> zero(kSize * kSize, 0), diagonal = zero, one(kSize * kSize), blocks = zero;
  for (std::size_t i = 0; i < kSize; ++i) {
    diagonal[i * kSize + i] = static_cast<double>(i % 3);
    blocks[i * kSize + i] = 5;
    for (std::size_t j = 0; j < kSize; ++j) one[i * kSize + j] = static_cast<double>((i + 1) * (j + 1));
  }
  for (const auto& a : {zero, diagonal, one, blocks})
    expect_decomposes(a, kSize, decompose_symmetric(a, kSize));
  const SymmetricEigen rank_one = decompose_symmetric(one, kSize);
  EXPECT_NEAR(rank_one.values[0], 22140.0, 1e-9);  // sum of i^2
  EXPECT_NEAR(rank_one.values[1], 0.0, 1e-9);
  EXPECT_TRUE(decompose_symmetric({}, 0).values.empty());
}

TEST(SymmetricEigen, ScalesWithoutLoss) {
  std::vector<double> a = random_symmetric(20, 3);
  const SymmetricEigen plain = decompose_symmetric(a, 20);
  for (double& x : a) x *= 0x1p-400;
  const SymmetricEigen small = decompose_symmetric(a, 20);
  for (std::size_t i = 0; i < 20; ++i) EXPECT_NEAR(small.values[i] * 0x1p400, plain.values[i], 1e-12);
}

TEST(SymmetricEigen, TheWidthOfBertTakesSeconds) {
  constexpr int64_t kSize = 768;
  const std::vector<double> a = random_symmetric(kSize, 1);
  const auto begin = std::chrono::steady_clock::now();
  const SymmetricEigen eigen = decompose_symmetric(a, kSize);
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  RecordProperty("seconds", std::to_string(time.count()));
  double trace = 0, sum = 0;
  for (int64_t i = 0; i < kSize; ++i) {
    trace += a[static_cast<std::size_t>(i * kSize + i)];
    sum += eigen.values[static_cast<std::size_t>(i)];
  }
  EXPECT_NEAR(sum, trace, 1e-9);
  // A v = value v of some of them.
  for (const int64_t i : {0, 100, 767}) {
    const double* v = eigen.vectors.data() + i * kSize;
    for (const int64_t row : {0, 5, 700}) {
      double product = 0;
      for (int64_t k = 0; k < kSize; ++k) product += a[static_cast<std::size_t>(row * kSize + k)] * v[k];
      EXPECT_NEAR(product, eigen.values[static_cast<std::size_t>(i)] * v[row], 1e-10);
    }
  }
  EXPECT_EQ(decompose_symmetric(a, kSize).vectors, eigen.vectors);
}

TEST(SymmetricEigen, RefusesWhatIsNoMatrix) {
  const std::vector<double> a(6, 1.0);
  EXPECT_THROW((void)decompose_symmetric(a, 2), Error);
  EXPECT_THROW((void)decompose_symmetric(a, -1), Error);
  std::vector<double> bad(4, 1.0);
  bad[2] = NAN;
  EXPECT_THROW((void)decompose_symmetric(bad, 2), Error);
}

}  // namespace
}  // namespace penjing
