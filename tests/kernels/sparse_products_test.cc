// Products that skip zero blocks equal the dense ones bit for bit.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/rng.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_i8/gemm_i8.h"
#include "kernels/spmm_f32/spmm_f32.h"
#include "kernels/spmm_i8/spmm_i8.h"
#include "tests/kernels/guarded.h"

namespace penjing {
namespace {

using testing::Guarded;

struct Sizes {
  int64_t n, k;
  int width;
};

std::vector<Sizes> ragged_sizes() {
  std::vector<Sizes> sizes;
  for (const int width : {16, 32, 48, 64}) {
    for (const int64_t k : {1, 3, 4, 5, 31, 128, 129, 300}) {
      for (const int64_t n : {1, 3, 4, 5, 8, 11, 16}) sizes.push_back({n, k, width});
    }
  }
  return sizes;
}

// keep: whether block (group of 4 outputs, input) may hold weights; 0 none, 1 all, else at random.
template <typename T, typename Draw>
void fill_blocks(Guarded<T>& w, const Sizes& size, double share, Rng& rng, Draw draw) {
  for (int64_t group = 0; group < size.n; group += 4) {
    for (int64_t i = 0; i < size.k; ++i) {
      const bool keep = rng.uniform() < share;
      for (int64_t o = group; o < std::min(size.n, group + 4); ++o) w[o * size.k + i] = keep ? draw() : T{0};
    }
  }
}

// The sign of a zero is not part of the promise.
::testing::AssertionResult same_values(const Guarded<float>& a, const std::vector<float>& b) {
  for (std::size_t i = 0; i < b.size(); ++i) {
    if (a[i] == 0 && b[i] == 0) continue;
    if (std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i])) {
      return ::testing::AssertionFailure() << "element " << i << ": " << a[i] << " against " << b[i];
    }
  }
  return ::testing::AssertionSuccess();
}

TEST(SpmmF32, EqualsTheDenseProduct) {
  Rng rng(1);
  const gemm_f32::Kernel& dense = *gemm_f32::find(Isa::kRef);
  for (const Sizes& size : ragged_sizes()) {
    for (const double share : {0.0, 0.2, 1.0}) {
      Guarded<float> x(size.k * size.width), w(size.n * size.k), bias(size.n), residual(size.n * size.width),
          y(size.n * size.width);
      for (auto* values : {&x, &bias, &residual}) {
        for (std::size_t i = 0; i < values->size(); ++i) (*values)[i] = rng.normal();
      }
      fill_blocks(w, size, share, rng, [&] { return rng.normal(); });
      Guarded<char> dense_packed(dense.packed_bytes(size.n, size.k));
      dense.pack(w.data(), size.n, size.k, dense_packed.data());
      for (const bool extras : {false, true}) {
        const float* used_bias = extras ? bias.data() : nullptr;
        const float* used_residual = extras ? residual.data() : nullptr;
        dense.run({x.data(), dense_packed.data(), used_bias, used_residual, y.data(), size.k, 0, size.n,
                   size.width});
        const std::vector<float> wanted = y.copy();
        for (const Isa isa : usable_isas()) {
          const spmm_f32::Kernel* kernel = spmm_f32::find(isa);
          if (kernel == nullptr) continue;
          Guarded<char> packed(kernel->packed_bytes(w.data(), size.n, size.k));
          kernel->pack(w.data(), size.n, size.k, packed.data());
          std::memset(y.data(), 0x7f, y.size() * 4);
          const int64_t cut = size.n > 4 ? 4 : 0;  // in two calls
          for (const auto& [begin, end] : {std::pair(int64_t{0}, cut), std::pair(cut, size.n)}) {
            kernel->run({x.data(), packed.data(), used_bias, used_residual, y.data(), size.k, size.n, begin,
                         end, size.width});
          }
          ASSERT_TRUE(same_values(y, wanted)) << name_of(isa) << " n " << size.n << " k " << size.k
                                              << " width " << size.width << " share " << share;
        }
      }
    }
  }
}

// With random weights and codes, and with the largest that the kernel takes.
void check_spmm_i8(const spmm_i8::Kernel& kernel) {
  Rng rng(2);
  const gemm_i8::Kernel& dense = *gemm_i8::find(Isa::kRef);
  const auto largest_code = static_cast<uint32_t>(kernel.bounds.code);
  const int largest_weight = std::min(kernel.bounds.weight, 127);
  for (const Sizes& size : ragged_sizes()) {
    for (const double share : {0.0, 0.2, 1.0}) {
      Guarded<uint8_t> rows(size.k * size.width), quads((size.k + 3) / 4 * 4 * size.width);
      Guarded<int8_t> w(size.n * size.k);
      Guarded<float> scale_x(size.width), scale_w(size.n), bias(size.n), residual(size.n * size.width),
          y(size.n * size.width);
      Guarded<int32_t> zero(size.width), row_sum(size.n);
      for (auto* values : {&scale_x, &scale_w, &bias, &residual}) {
        for (std::size_t i = 0; i < values->size(); ++i) (*values)[i] = rng.normal();
      }
      for (int64_t f = 0; f < size.k; ++f) {
        for (int t = 0; t < size.width; ++t) {
          const auto code = static_cast<uint8_t>(share == 1.0 ? largest_code : rng.below(largest_code + 1));
          rows[f * size.width + t] = quads[(f / 4 * size.width + t) * 4 + f % 4] = code;
        }
      }
      fill_blocks(w, size, share, rng, [&] {
        const auto random = rng.below(static_cast<uint32_t>(2 * largest_weight + 1));
        return static_cast<int8_t>(share == 1.0 ? largest_weight : static_cast<int>(random) - largest_weight);
      });
      for (int t = 0; t < size.width; ++t) zero[t] = static_cast<int32_t>(rng.below(largest_code + 1));
      for (int64_t o = 0; o < size.n; ++o) {
        row_sum[o] = 0;
        for (int64_t i = 0; i < size.k; ++i) row_sum[o] += w[o * size.k + i];
      }
      Guarded<char> dense_packed(dense.packed_bytes(size.n, size.k));
      dense.pack(w.data(), size.n, size.k, dense_packed.data());
      dense.run({quads.data(), scale_x.data(), zero.data(), dense_packed.data(), scale_w.data(),
                 row_sum.data(), bias.data(), residual.data(), y.data(), size.k, size.n, 0, size.n,
                 size.width});
      const std::vector<float> wanted = y.copy();
      Guarded<char> packed(kernel.packed_bytes(w.data(), size.n, size.k));
      kernel.pack(w.data(), size.n, size.k, packed.data());
      std::memset(y.data(), 0x7f, y.size() * 4);
      kernel.run({rows.data(), scale_x.data(), zero.data(), packed.data(), scale_w.data(), row_sum.data(),
                  bias.data(), residual.data(), y.data(), size.k, size.n, 0, size.n, size.width});
      ASSERT_TRUE(same_values(y, wanted)) << kernel.name << " n " << size.n << " k " << size.k << " width "
                                          << size.width << " share " << share;
    }
  }
}

TEST(SpmmI8, EqualsTheDenseProduct) {
  for (const spmm_i8::Kernel* kernel : spmm_i8::list()) {
    if (cpu_has(kernel->isa)) check_spmm_i8(*kernel);
  }
}

TEST(SpmmI8, ZeroBlocksAreNotStored) {
  const Sizes size{64, 256, 16};
  Rng rng(3);
  for (const Isa isa : usable_isas()) {
    const spmm_i8::Kernel* integer = spmm_i8::find(isa);
    const spmm_f32::Kernel* real = spmm_f32::find(isa);
    Guarded<int8_t> w8(size.n * size.k);
    Guarded<float> w(size.n * size.k);
    fill_blocks(w8, size, 0.1, rng, [] { return int8_t{1}; });
    fill_blocks(w, size, 0.1, rng, [] { return 1.0f; });
    if (integer != nullptr) {
      EXPECT_LT(integer->packed_bytes(w8.data(), size.n, size.k), static_cast<std::size_t>(size.n * size.k));
    }
    if (real != nullptr) {
      EXPECT_LT(real->packed_bytes(w.data(), size.n, size.k), static_cast<std::size_t>(size.n * size.k));
    }
  }
}

}  // namespace
}  // namespace penjing
