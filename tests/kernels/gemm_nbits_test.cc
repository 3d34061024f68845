// Products of 4-bit and 8-bit weights equal the FP32 product of the widened weights bit for bit, on ragged
// sizes and groups, in memory that ends at a page the process may not touch.
#include "kernels/gemm_nbits/gemm_nbits.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <vector>

#include "base/rng.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "tests/kernels/guarded.h"

namespace penjing {
namespace {

using testing::Guarded;

std::vector<uint32_t> bits_of(const Guarded<float>& values) {
  std::vector<uint32_t> bits;
  for (std::size_t i = 0; i < values.size(); ++i) bits.push_back(std::bit_cast<uint32_t>(values[i]));
  return bits;
}

void check(int64_t n, int64_t k, int width, const gemm_nbits::Layout& layout, bool extras, Rng& rng) {
  const int64_t groups = (k + layout.group - 1) / layout.group;
  Guarded<int8_t> codes(n * k);
  Guarded<float> scales(n * groups), w(n * k), x(k * width), bias(n), residual(n * width), y(n * width);
  const int lowest = layout.bits == 4 ? -8 : -128;
  for (std::size_t i = 0; i < codes.size(); ++i) {
    codes[i] = static_cast<int8_t>(lowest + static_cast<int>(rng.below(static_cast<uint32_t>(-2 * lowest))));
  }
  for (auto* values : {&scales, &x, &bias, &residual}) {
    for (std::size_t i = 0; i < values->size(); ++i) (*values)[i] = rng.normal();
  }
  for (int64_t o = 0; o < n; ++o) {
    for (int64_t i = 0; i < k; ++i) {
      const auto at = static_cast<std::size_t>(o * k + i);
      w[at] = static_cast<float>(codes[at]) * scales[static_cast<std::size_t>(o * groups + i / layout.group)];
    }
  }
  const float* b = extras ? bias.data() : nullptr;
  const float* r = extras ? residual.data() : nullptr;
  const gemm_f32::Kernel& dense = *gemm_f32::find(Isa::kRef);
  Guarded<char> dense_packed(dense.packed_bytes(n, k));
  dense.pack(w.data(), n, k, dense_packed.data());
  dense.run({x.data(), dense_packed.data(), b, r, y.data(), k, 0, n, width});
  const std::vector<uint32_t> wanted = bits_of(y);
  for (const Isa isa : usable_isas()) {
    const gemm_nbits::Kernel* kernel = gemm_nbits::find(isa);
    if (kernel == nullptr) continue;
    Guarded<char> packed(kernel->packed_bytes(n, k, layout));
    kernel->pack(codes.data(), scales.data(), n, k, layout, packed.data());
    std::memset(y.data(), 0x7f, y.size() * 4);
    gemm_nbits::Args args{x.data(), packed.data(), layout, b, r, y.data(), k, 0, n, width};
    if (n > gemm_nbits::kOutputs) {  // in two calls
      args.n_end = gemm_nbits::kOutputs;
      kernel->run(args);
      args.n_begin = gemm_nbits::kOutputs;
      args.n_end = n;
    }
    kernel->run(args);
    ASSERT_EQ(bits_of(y), wanted) << name_of(isa) << " n " << n << " k " << k << " width " << width
                                  << " bits " << layout.bits << " group " << layout.group;
  }
}

TEST(GemmNbits, EqualsTheProductOfTheWidenedWeights) {
  Rng rng(11);
  for (const int width : {16, 32, 48, 64}) {
    for (const int64_t k : {1, 2, 3, 4, 5, 7, 31, 127, 128, 129, 300}) {
      for (const int64_t n : {1, 5, 8, 9, 17}) {
        for (const int bits : {4, 8}) {
          for (const int64_t group : {int64_t{4}, int64_t{20}, int64_t{32}, k}) {
            check(n, k, width, {.bits = bits, .group = group}, (n + k) % 2 == 0, rng);
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

TEST(GemmNbits, FourBitsAreAnEighthOfFp32) {
  const gemm_nbits::Kernel& kernel = gemm_nbits::select();
  EXPECT_EQ(kernel.packed_bytes(768, 3072, {.bits = 4, .group = 3072}), 768u * (3072 / 2 + 4));
  EXPECT_EQ(kernel.packed_bytes(768, 3072, {.bits = 8, .group = 32}), 768u * (3072 + 3072 / 32 * 4));
}

}  // namespace
}  // namespace penjing
