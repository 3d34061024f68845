// BF16 products stay within their bound; AMX with tiles in software (tests/kernels/CMakeLists.txt).
#include "kernels/gemm_bf16/gemm_bf16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernels/pointwise/scalar.h"
#include "numerics/float16.h"
#include "tests/kernels/guarded.h"

namespace penjing {

#if defined(PENJING_SIMULATED_KERNELS)
namespace gemm_bf16::amx_simulated {
extern const Kernel kernel;
}
#endif

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
      for (const int64_t n : {1, 3, 4, 5, 8, 11, 16, 37}) sizes.push_back({n, k, width});
    }
    sizes.push_back({70, 600, width});
  }
  return sizes;
}

std::map<std::string, const gemm_bf16::Kernel*> runnable() {
  std::map<std::string, const gemm_bf16::Kernel*> kernels;
  for (const Isa isa : usable_isas()) {
    if (const auto* kernel = gemm_bf16::find(isa)) kernels[name_of(isa)] = kernel;
  }
#if defined(PENJING_SIMULATED_KERNELS)
  if (cpu_has(Isa::kAvx512Bf16)) kernels["amx in software"] = &gemm_bf16::amx_simulated::kernel;
#endif
  return kernels;
}

TEST(GemmBf16, ActivationsAreThoseOfPointwise) {
  using pointwise::Function;
  Rng rng(7);
  for (const auto& [name, kernel] : runnable()) {
    const Sizes size{21, 31, 48};
    Guarded<float> x(size.k * size.width), bias(size.n), plain(size.n * size.width), y(size.n * size.width);
    Guarded<uint16_t> w(size.n * size.k), pairs((size.k + 1) / 2 * 2 * size.width);
    for (auto* values : {&x, &bias}) {
      for (std::size_t i = 0; i < values->size(); ++i) (*values)[i] = rng.normal();
    }
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = float_to_bfloat16(rng.normal());
    Guarded<char> packed(kernel->packed_bytes(size.n, size.k));
    kernel->pack(w.data(), size.n, size.k, packed.data());
    kernel->convert(x.data(), size.k, size.width, pairs.data());
    gemm_bf16::Args args{pairs.data(), packed.data(), bias.data(), nullptr, plain.data(),
                         size.k,       size.n,        0,           size.n,  size.width};
    kernel->run(args);
    for (const Function function :
         {Function::kGelu, Function::kGeluTanh, Function::kRelu, Function::kSilu, Function::kTanh}) {
      args.activation = function;
      args.y = y.data();
      kernel->run(args);
      for (std::size_t i = 0; i < y.size(); ++i) {
        ASSERT_EQ(y[i], pointwise::apply_scalar(function, plain[i])) << name;
      }
    }
  }
}

TEST(GemmBf16, StaysWithinItsBound) {
  Rng rng(4);
  for (const Sizes& size : ragged_sizes()) {
    Guarded<float> x(size.k * size.width), bias(size.n), residual(size.n * size.width),
        y(size.n * size.width);
    Guarded<uint16_t> w(size.n * size.k), pairs((size.k + 1) / 2 * 2 * size.width);
    for (auto* values : {&x, &bias, &residual}) {
      for (std::size_t i = 0; i < values->size(); ++i) (*values)[i] = rng.normal();
    }
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = float_to_bfloat16(rng.normal());
    for (const auto& [name, kernel] : runnable()) {
      Guarded<char> packed(kernel->packed_bytes(size.n, size.k));
      kernel->pack(w.data(), size.n, size.k, packed.data());
      std::memset(pairs.data(), 0x55, pairs.size() * 2);
      kernel->convert(x.data(), size.k, size.width, pairs.data());
      for (int64_t f = 0; f < (size.k + 1) / 2 * 2; ++f) {
        for (int t = 0; t < size.width; ++t) {
          ASSERT_EQ(pairs[(f / 2 * size.width + t) * 2 + f % 2],
                    f < size.k ? float_to_bfloat16(x[f * size.width + t]) : 0)
              << name;
        }
      }
      std::memset(y.data(), 0x7f, y.size() * 4);
      kernel->run({pairs.data(), packed.data(), bias.data(), residual.data(), y.data(), size.k, size.n, 0,
                   size.n, size.width});
      for (int64_t o = 0; o < size.n; ++o) {
        for (int t = 0; t < size.width; ++t) {
          double exact = double{bias[o]} + residual[o * size.width + t],
                 magnitude = std::fabs(bias[o]) + std::fabs(residual[o * size.width + t]);
          for (int64_t i = 0; i < size.k; ++i) {
            const double product = double{bfloat16_to_float(w[o * size.k + i])} *
                                   bfloat16_to_float(float_to_bfloat16(x[i * size.width + t]));
            exact += product;
            magnitude += std::fabs(product);
          }
          ASSERT_LE(std::fabs(y[o * size.width + t] - exact),
                    static_cast<double>(size.k + 2) * 0x1p-23 * magnitude)
              << name << " n " << o << " of " << size.n << " k " << size.k << " width " << size.width;
        }
      }
    }
  }
}

}  // namespace
}  // namespace penjing
