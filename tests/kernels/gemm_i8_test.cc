// The INT8 products equal the plain reference bit for bit, on ragged sizes, with the largest codes that each
// takes, in memory that ends at a page the process may not touch. Those of CPUs that the machine is not run
// too: AVX-VNNI in the EVEX form of its instruction, AMX with tiles in software
// (tests/kernels/CMakeLists.txt).
#include "kernels/gemm_i8/gemm_i8.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <iostream>
#include <vector>

#include "base/rng.h"
#include "tests/kernels/guarded.h"

namespace penjing {

#if defined(PENJING_SIMULATED_KERNELS)
namespace gemm_i8::avx_vnni_evex {
extern const Kernel kernel;
}
namespace gemm_i8::amx_simulated {
extern const Kernel kernel;
}
#endif

namespace {

using testing::Guarded;

std::vector<const gemm_i8::Kernel*> runnable() {
  std::vector<const gemm_i8::Kernel*> kernels;
  for (const auto* kernel : gemm_i8::list()) {
    if (cpu_has(kernel->isa) && kernel->isa != Isa::kRef) kernels.push_back(kernel);
  }
#if defined(PENJING_SIMULATED_KERNELS)
  if (cpu_has(Isa::kAvx512Vnni)) kernels.push_back(&gemm_i8::avx_vnni_evex::kernel);
  if (cpu_has(Isa::kAvx512Vnni)) kernels.push_back(&gemm_i8::amx_simulated::kernel);
#endif
  std::cout << "gemm_i8 ran on: ref";
  for (const auto* kernel : kernels) std::cout << " " << kernel->name;
  std::cout << "\n";
  return kernels;
}

struct Problem {
  Problem(int64_t outputs, int64_t inputs, int tokens)
      : n(outputs),
        k(inputs),
        width(tokens),
        x((k + 3) / 4 * 4 * width),
        w(n * k),
        scale_x(width),
        scale_w(n),
        bias(n),
        residual(n * width),
        y(n * width),
        zero(width),
        row_sum(n) {}

  // pattern 0: random up to the bounds; 1 to 3: all at the bounds, weights positive, negative, of both signs.
  void fill(int pattern, const CodeBounds& bounds, Rng& rng) {
    const auto codes = static_cast<uint32_t>(bounds.code);
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = static_cast<uint8_t>(pattern == 0 ? rng.below(codes + 1) : codes);
    }
    const int largest = std::min(bounds.weight, 127);
    for (std::size_t i = 0; i < w.size(); ++i) {
      const int sign = pattern == 2 || (pattern == 3 && rng.below(2) == 0) ? -1 : 1;
      const int random = static_cast<int>(rng.below(static_cast<uint32_t>(2 * largest + 1))) - largest;
      w[i] = static_cast<int8_t>(pattern == 0 ? random : sign * largest);
    }
    for (auto* values : {&scale_x, &scale_w, &bias, &residual}) {
      for (std::size_t i = 0; i < values->size(); ++i) (*values)[i] = rng.normal();
    }
    for (std::size_t t = 0; t < zero.size(); ++t) zero[t] = static_cast<int32_t>(rng.below(codes + 1));
    for (int64_t o = 0; o < n; ++o) {
      row_sum[static_cast<std::size_t>(o)] = 0;
      for (int64_t i = 0; i < k; ++i) {
        row_sum[static_cast<std::size_t>(o)] += w[static_cast<std::size_t>(o * k + i)];
      }
    }
  }

  // In two calls where there are outputs enough, as two threads would.
  std::vector<uint32_t> run(const gemm_i8::Kernel& kernel, bool with_bias, bool with_residual,
                            pointwise::Function activation = pointwise::Function::kNone) {
    Guarded<char> packed(kernel.packed_bytes(n, k));
    kernel.pack(w.data(), n, k, packed.data());
    std::memset(y.data(), 0x7f, y.size() * 4);
    gemm_i8::Args args{x.data(),
                       scale_x.data(),
                       zero.data(),
                       packed.data(),
                       scale_w.data(),
                       row_sum.data(),
                       with_bias ? bias.data() : nullptr,
                       with_residual ? residual.data() : nullptr,
                       y.data(),
                       k,
                       n,
                       0,
                       n,
                       width,
                       activation};
    if (n > gemm_i8::kOutputs) {
      args.n_end = gemm_i8::kOutputs;
      kernel.run(args);
      args.n_begin = gemm_i8::kOutputs;
      args.n_end = n;
    }
    kernel.run(args);
    std::vector<uint32_t> bits;
    for (std::size_t i = 0; i < y.size(); ++i) bits.push_back(std::bit_cast<uint32_t>(y[i]));
    return bits;
  }

  int64_t n, k;
  int width;
  Guarded<uint8_t> x;
  Guarded<int8_t> w;
  Guarded<float> scale_x, scale_w, bias, residual, y;
  Guarded<int32_t> zero, row_sum;
};

TEST(GemmI8, EqualsReferenceIncludingTheCorners) {
  const gemm_i8::Kernel& ref = *gemm_i8::find(Isa::kRef);
  Rng rng(3);
  for (const gemm_i8::Kernel* kernel : runnable()) {
    for (const int width : {16, 32, 48, 64}) {
      for (const int64_t k : {1, 2, 3, 4, 5, 8, 30, 64, 67, 600, 1100, 3072}) {
        for (const int64_t n : {1, 3, 4, 5, 8, 9, 16, 17, 25, 37, 70}) {
          if (k == 3072 && n != 9) continue;
          if ((k == 600 || k == 1100) != (n == 70) && n != 37) continue;
          Problem problem(n, k, width);
          for (int pattern = 0; pattern < 4; ++pattern) {
            problem.fill(pattern, kernel->bounds, rng);
            const bool with_bias = pattern != 1, with_residual = pattern != 2;
            ASSERT_EQ(problem.run(*kernel, with_bias, with_residual),
                      problem.run(ref, with_bias, with_residual))
                << kernel->name << " width " << width << " k " << k << " n " << n << " pattern " << pattern;
          }
        }
      }
    }
  }
}

TEST(GemmI8, ActivationsAreThoseOfPointwise) {
  using pointwise::Function;
  const gemm_i8::Kernel& ref = *gemm_i8::find(Isa::kRef);
  Rng rng(5);
  for (const gemm_i8::Kernel* kernel : runnable()) {
    if (!kernel->activates) continue;
    for (const int width : {16, 32, 48, 64}) {
      Problem problem(21, 67, width);
      problem.fill(0, kernel->bounds, rng);
      for (std::size_t t = 0; t < problem.scale_x.size(); ++t) problem.scale_x[t] *= 1e-4f;
      for (const Function function :
           {Function::kGelu, Function::kGeluTanh, Function::kRelu, Function::kSilu, Function::kTanh}) {
        ASSERT_EQ(problem.run(*kernel, true, false, function), problem.run(ref, true, false, function))
            << kernel->name << " width " << width;
        ASSERT_EQ(problem.run(*kernel, true, true, function), problem.run(ref, true, true, function))
            << kernel->name << " width " << width;
      }
    }
  }
}

TEST(GemmI8, TheLargestZeroPointsAndRowSumsAreTakenOffExactly) {
  const gemm_i8::Kernel& ref = *gemm_i8::find(Isa::kRef);
  for (const gemm_i8::Kernel* kernel : runnable()) {
    for (const int sign : {-1, 1}) {
      Problem problem(3, gemm_i8::kMostInputs, 16);
      Rng rng(6);
      problem.fill(sign < 0 ? 2 : 1, kernel->bounds, rng);
      for (std::size_t t = 0; t < problem.zero.size(); ++t) {
        problem.zero[t] = kernel->bounds.code - static_cast<int32_t>(t);
      }
      ASSERT_EQ(problem.run(*kernel, true, true), problem.run(ref, true, true)) << kernel->name;
    }
  }
}

TEST(GemmI8, NarrowCodesChooseTheirKernelOnlyWhereTheyFit) {
  const Isa before = isa_limit();
  if (!cpu_has(Isa::kAvx2)) GTEST_SKIP() << "no AVX2";
  force_isa_limit(Isa::kAvx2);
  EXPECT_STREQ(gemm_i8::select().name, "avx2");
  EXPECT_STREQ(gemm_i8::select({.weight = 64, .code = 255}).name, "avx2_w7a8");
  EXPECT_STREQ(gemm_i8::select({.weight = 63, .code = 127}).name, "avx2_w7a7");
  EXPECT_STREQ(gemm_i8::select({.weight = 65, .code = 127}).name, "avx2");
  force_isa_limit(before);
}

}  // namespace
}  // namespace penjing
