// Every kernel on every instruction set of this machine equals the plain reference bit for bit, on ragged
// sizes, in memory that ends at a page the process may not touch.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <iostream>
#include <vector>

#include "base/rng.h"
#include "kernels/attention/attention.h"
#include "kernels/attention_i8/attention_i8.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_i8/gemm_i8.h"
#include "kernels/normalize/normalize.h"
#include "kernels/panel.h"
#include "kernels/peak/peak.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/quantize/quantize.h"
#include "numerics/quantizer.h"
#include "tests/kernels/guarded.h"

namespace penjing {

#if defined(PENJING_SIMULATED_KERNELS)
namespace attention_i8::amx_simulated {
extern const Kernel kernel;
}
#endif
namespace {

using testing::Guarded;

void fill(Guarded<float>& values, Rng& rng, float scale = 1) {
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = rng.normal() * scale;
}

// Any NaN equals any NaN: payloads are not part of the promise.
::testing::AssertionResult same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i])) {
      return ::testing::AssertionFailure() << "element " << i << ": " << a[i] << " against " << b[i];
    }
  }
  return ::testing::AssertionSuccess();
}

template <typename Kernel>
std::vector<const Kernel*> fast_kernels(const Kernel* (*find)(Isa), const char* family) {
  std::vector<const Kernel*> kernels;
  std::cout << family << " ran on: ref";
  for (const Isa isa : usable_isas()) {
    const Kernel* kernel = find(isa);
    if (kernel == nullptr || isa == Isa::kRef) continue;
    EXPECT_EQ(kernel->isa, isa);
    kernels.push_back(kernel);
    std::cout << " " << name_of(isa);
  }
  std::cout << "\n";
  return kernels;
}

constexpr int kWidths[] = {16, 32, 48, 64};

TEST(GemmF32, EqualsReferenceOnRaggedSizes) {
  const auto kernels = fast_kernels(gemm_f32::find, "gemm_f32");
  Rng rng(1);
  for (const int width : kWidths) {
    for (const int64_t k : {1, 2, 3, 7, 33, 128, 129, 300}) {
      for (const int64_t n : {1, 2, 5, 7, 8, 9, 15, 16, 17, 24, 31}) {
        Guarded<float> x(static_cast<std::size_t>(k * width)), w(static_cast<std::size_t>(n * k)),
            bias(static_cast<std::size_t>(n)), residual(static_cast<std::size_t>(n * width)),
            y(static_cast<std::size_t>(n * width));
        for (auto* values : {&x, &w, &bias, &residual}) fill(*values, rng);
        for (const bool extras : {false, true}) {
          const auto run = [&](const gemm_f32::Kernel& kernel) {
            Guarded<char> packed(kernel.packed_bytes(n, k));
            kernel.pack(w.data(), n, k, packed.data());
            gemm_f32::Args args{x.data(),
                                packed.data(),
                                extras ? bias.data() : nullptr,
                                extras ? residual.data() : nullptr,
                                y.data(),
                                k,
                                0,
                                n,
                                width};
            std::memset(y.data(), 0x7f, y.size() * 4);
            if (n > gemm_f32::kOutputs) {  // in two calls
              args.n_end = gemm_f32::kOutputs;
              kernel.run(args);
              args.n_begin = gemm_f32::kOutputs;
              args.n_end = n;
            }
            kernel.run(args);
            return y.copy();
          };
          const auto wanted = run(*gemm_f32::find(Isa::kRef));
          for (const auto* kernel : kernels) {
            ASSERT_TRUE(same_bits(run(*kernel), wanted))
                << name_of(kernel->isa) << " width " << width << " k " << k << " n " << n;
          }
        }
      }
    }
  }
}

TEST(GemmF32, ReferenceIsWithinItsBound) {
  Rng rng(2);
  const int64_t k = 3072;
  const int width = 16;
  Guarded<float> x(static_cast<std::size_t>(k * width)), w(static_cast<std::size_t>(k)), y(width);
  fill(x, rng), fill(w, rng);
  const gemm_f32::Kernel& ref = *gemm_f32::find(Isa::kRef);
  Guarded<char> packed(ref.packed_bytes(1, k));
  ref.pack(w.data(), 1, k, packed.data());
  ref.run({x.data(), packed.data(), nullptr, nullptr, y.data(), k, 0, 1, width});
  for (int t = 0; t < width; ++t) {
    double exact = 0, magnitude = 0;
    for (int64_t i = 0; i < k; ++i) {
      const double product = double{w[i]} * x[i * width + t];
      exact += product;
      magnitude += std::fabs(product);
    }
    EXPECT_LE(std::fabs(y[t] - exact), static_cast<double>(k + 2) * 0x1p-24 * magnitude);
  }
}

std::vector<float> interesting_floats() {
  std::vector<float> values;
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 65521) {
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  }
  for (const float v : {0.0f, -0.0f, 1.0f, -1.0f, INFINITY, -INFINITY, NAN, 1e-45f, -1e-40f, 3.4e38f,
                        -3.4e38f, 88.72283f, 88.7229f, -87.33654f, -87.3366f, 4.0f, 0.99999994f, 0.5f}) {
    values.push_back(v);
  }
  while (values.size() % 16 != 0) values.push_back(0.25f);
  return values;
}

TEST(Pointwise, EqualsReferenceOverAllExponents) {
  using pointwise::Function;
  const auto kernels = fast_kernels(pointwise::find, "pointwise");
  const auto input = interesting_floats();
  const pointwise::Kernel& ref = *pointwise::find(Isa::kRef);
  const auto size = static_cast<int64_t>(input.size());
  for (const Function f :
       {Function::kGelu, Function::kGeluTanh, Function::kRelu, Function::kSilu, Function::kTanh}) {
    auto wanted = input;
    ref.apply(f, wanted.data(), size);
    for (const auto* kernel : kernels) {
      auto got = input;
      kernel->apply(f, got.data(), size);
      EXPECT_TRUE(same_bits(got, wanted)) << name_of(kernel->isa) << " function " << static_cast<int>(f);
    }
  }
  for (const auto* kernel : kernels) {
    auto a = input, b = input;
    kernel->exp(a.data(), size), ref.exp(b.data(), size);
    EXPECT_TRUE(same_bits(a, b)) << "exp " << name_of(kernel->isa);
    a = input, b = input;
    kernel->erf(a.data(), size), ref.erf(b.data(), size);
    EXPECT_TRUE(same_bits(a, b)) << "erf " << name_of(kernel->isa);
  }
}

TEST(Pointwise, ErrorsAreWithinTheirBounds) {
  const pointwise::Kernel& kernel = pointwise::select();
  auto input = interesting_floats();
  for (int i = -160000; i < 160000; ++i) input.push_back(static_cast<float>(i) * 0x1p-14f);
  const auto size = static_cast<int64_t>(input.size());
  auto exp = input, erf = input, gelu = input, tanh = input;
  kernel.exp(exp.data(), size), kernel.erf(erf.data(), size);
  kernel.apply(pointwise::Function::kGelu, gelu.data(), size);
  kernel.apply(pointwise::Function::kTanh, tanh.data(), size);
  double worst_exp = 0, worst_erf = 0, worst_tanh = 0, worst_gelu = 0;
  for (std::size_t i = 0; i < input.size(); ++i) {
    const double x = input[i];
    if (!std::isfinite(x)) continue;
    worst_erf = std::max(worst_erf, std::fabs(erf[i] - std::erf(x)));
    worst_tanh = std::max(worst_tanh, std::fabs(tanh[i] - std::tanh(x)));
    if (std::fabs(x) < 1e4) {
      const double wanted = 0.5 * x * (1 + std::erf(x * std::sqrt(0.5)));
      worst_gelu = std::max(worst_gelu, std::fabs(gelu[i] - wanted) / std::max(1.0, std::fabs(x)));
    }
    if (x > -87.336 && x < 88.7228) {
      const double wanted = std::exp(x);
      const auto rounded = static_cast<float>(wanted);
      const double ulp = static_cast<double>(std::nextafter(rounded, INFINITY)) - rounded;
      worst_exp = std::max(worst_exp, std::fabs(exp[i] - wanted) / ulp);
    }
  }
  std::cout << "exp " << worst_exp << " ulp, erf " << worst_erf << ", tanh " << worst_tanh << ", gelu "
            << worst_gelu << "\n";
  EXPECT_LE(worst_exp, 2.0);
  EXPECT_LE(worst_erf, 2e-7);
  EXPECT_LE(worst_tanh, 2e-7);
  EXPECT_LE(worst_gelu, 2e-7);
}

TEST(Normalize, EqualsReference) {
  const auto kernels = fast_kernels(normalize::find, "normalize");
  Rng rng(4);
  for (const int width : kWidths) {
    for (const int64_t features : {1, 2, 3, 4, 5, 6, 7, 384, 313}) {
      Guarded<float> x(static_cast<std::size_t>(features * width)), gamma(static_cast<std::size_t>(features)),
          beta(static_cast<std::size_t>(features)), y(static_cast<std::size_t>(features * width));
      fill(x, rng, 3), fill(gamma, rng), fill(beta, rng);
      x[static_cast<std::size_t>(width) - 1] = NAN;  // one lane is spoilt, the others must not notice
      for (const bool with_beta : {true, false}) {
        const normalize::Args args{
            x.data(), gamma.data(), with_beta ? beta.data() : nullptr, y.data(), features, width, 1e-12f};
        const auto run = [&](void (*function)(const normalize::Args&)) {
          std::memset(y.data(), 0x7f, y.size() * 4);
          function(args);
          return y.copy();
        };
        const normalize::Kernel& ref = *normalize::find(Isa::kRef);
        for (const auto* kernel : kernels) {
          EXPECT_TRUE(same_bits(run(kernel->layer_norm), run(ref.layer_norm))) << features << " x " << width;
          EXPECT_TRUE(same_bits(run(kernel->rms_norm), run(ref.rms_norm))) << features << " x " << width;
          EXPECT_TRUE(same_bits(run(kernel->affine), run(ref.affine))) << features << " x " << width;
        }
        const auto out = run(kernels.empty() ? ref.layer_norm : kernels.back()->layer_norm);
        for (int64_t i = 0; i < features * width; ++i) {
          EXPECT_EQ(std::isnan(out[static_cast<std::size_t>(i)]), i % width == width - 1) << i;
        }
      }
    }
  }
}

TEST(Quantize, EqualsTheOneQuantizer) {
  const auto kernels = fast_kernels(quantize::find, "quantize");
  Rng rng(5);
  for (const int width : kWidths) {
    for (const int64_t features : {1, 2, 3, 4, 5, 66, 384}) {
      const int64_t k4 = (features + 3) / 4 * 4;
      Guarded<float> x(static_cast<std::size_t>(features * width)), scale(static_cast<std::size_t>(width));
      Guarded<uint8_t> codes(static_cast<std::size_t>(k4 * width));
      Guarded<int32_t> zero(static_cast<std::size_t>(width));
      fill(x, rng, 2);
      for (int64_t f = 0; f < features; ++f) {  // lanes with special ranges
        x[f * width + 0] = 0;
        x[f * width + 1] = std::fabs(x[f * width + 1]);
        x[f * width + 2] = -std::fabs(x[f * width + 2]);
        x[f * width + 3] *= 1e38f;
        x[f * width + 4] *= 1e-38f;
        x[f * width + 5] *= 1e-44f;
        x[f * width + 6] = f == 0 ? NAN : 1;
        x[f * width + 7] = f == features - 1 ? -INFINITY : 1;
        x[f * width + 8] = 3.0e38f * (f % 2 == 0 ? 1.0f : -1.0f);
      }
      Guarded<float> multiplier(static_cast<std::size_t>(features));
      for (int64_t f = 0; f < features; ++f) multiplier[f] = std::exp(rng.normal());
      struct Case {
        void (*quantize::Kernel::*function)(const quantize::Args&);
        bool multiplied;
        int32_t largest;
        bool rows = false;
      };
      for (const Case& c : {Case{&quantize::Kernel::affine, false, 255},
                            {&quantize::Kernel::affine, true, 255},
                            {&quantize::Kernel::affine, true, 127},
                            {&quantize::Kernel::symmetric, false, 127},
                            {&quantize::Kernel::symmetric, true, 63},
                            {&quantize::Kernel::fixed, false, 255},
                            {&quantize::Kernel::affine, false, 255, true},
                            {&quantize::Kernel::symmetric, true, 127, true},
                            {&quantize::Kernel::fixed, true, 127}}) {
        const auto run = [&](const quantize::Kernel& kernel) {
          std::memset(codes.data(), 0x55, codes.size());
          quantize::Args args{.x = x.data(),
                              .multiplier = c.multiplied ? multiplier.data() : nullptr,
                              .codes = codes.data(),
                              .scale = scale.data(),
                              .zero_point = zero.data(),
                              .features = features,
                              .width = width,
                              .rows = c.rows,
                              .largest = c.largest};
          const QuantParams params = affine_params(-3, 5, {0, c.largest});
          args.fixed_scale = params.scale;
          args.fixed_inverse = params.inverse;
          args.fixed_zero = params.zero_point;
          args.fixed_lowest = c.multiplied ? 1 : 0;
          (kernel.*c.function)(args);
        };
        run(*quantize::find(Isa::kRef));
        const auto wanted_codes = codes.copy();
        const auto wanted_scale = scale.copy();
        const auto wanted_zero = zero.copy();
        for (const auto* kernel : kernels) {
          run(*kernel);
          EXPECT_TRUE(same_bits(scale.copy(), wanted_scale)) << name_of(kernel->isa) << " " << features;
          for (int t = 0; t < width; ++t) {
            if (std::isnan(wanted_scale[static_cast<std::size_t>(t)])) continue;  // the codes mean nothing
            ASSERT_EQ(zero[t], wanted_zero[static_cast<std::size_t>(t)])
                << name_of(kernel->isa) << " lane " << t;
            for (int64_t f = 0; f < k4; ++f) {
              const int64_t at = c.rows ? f * width + t : (f / 4 * width + t) * 4 + f % 4;
              ASSERT_EQ(codes[at], wanted_codes[static_cast<std::size_t>(at)])
                  << name_of(kernel->isa) << " lane " << t << " feature " << f << " of " << features;
            }
          }
        }
        EXPECT_TRUE(std::isnan(wanted_scale[6]));
        EXPECT_TRUE(std::isnan(wanted_scale[7]) || features == 0);
      }
    }
  }
}

TEST(Attention, EqualsReferenceAndSumsToOne) {
  const auto kernels = fast_kernels(attention::find, "attention");
  Rng rng(6);
  for (const int64_t head_dim : {1, 4, 8, 13, 32, 64}) {
    for (const int64_t length : {1, 2, 7, 8, 9, 16, 33, 100}) {
      const int64_t stride = (length + 15) / 16 * 16;
      const auto size = static_cast<std::size_t>(head_dim * stride);
      Guarded<float> q(static_cast<std::size_t>(head_dim * 16)), k(size), v(size),
          bias(static_cast<std::size_t>(length * 16)), out(static_cast<std::size_t>(head_dim * 16)),
          scores(static_cast<std::size_t>(length * 16));
      fill(q, rng), fill(k, rng), fill(bias, rng);
      for (std::size_t i = 0; i < size; ++i) v[i] = 1;
      for (const bool with_bias : {false, true}) {
        const int64_t begin = with_bias && length > 4 ? 2 : 0;
        const auto run = [&](const attention::Kernel& kernel) {
          kernel.run({q.data(), k.data(), v.data(), with_bias ? bias.data() : nullptr, out.data(),
                      scores.data(), head_dim, stride, begin, length, 0.25f});
          return out.copy();
        };
        const auto constant = run(*attention::find(Isa::kRef));
        for (const float value : constant) EXPECT_NEAR(value, 1.0f, 1e-5);
        fill(v, rng);
        const auto wanted = run(*attention::find(Isa::kRef));
        for (const auto* kernel : kernels) {
          EXPECT_TRUE(same_bits(run(*kernel), wanted))
              << name_of(kernel->isa) << " " << head_dim << " " << length;
        }
        for (std::size_t i = 0; i < size; ++i) v[i] = 1;
      }
    }
  }
}

TEST(AttentionI8, EqualsReferenceAndStaysNearFloat) {
  auto kernels = fast_kernels(attention_i8::find, "attention_i8");
#if defined(PENJING_SIMULATED_KERNELS)
  if (cpu_has(Isa::kAvx512Vnni)) kernels.push_back(&attention_i8::amx_simulated::kernel);
#endif
  const attention::Kernel& exact = *attention::find(Isa::kRef);
  Rng rng(7);
  for (const int64_t head_dim : {1, 4, 7, 8, 13, 32, 64, 80}) {
    for (const int64_t length : {1, 2, 3, 7, 8, 9, 16, 33, 100, 150}) {
      for (int variant = 0; variant < 4; ++variant) {
        // 0 plain, 1 a bias and a window, 2 large scores, 3 a stride that ends with the sequence
        const int64_t stride = variant == 3 ? length : (length + 15) / 16 * 16;
        const auto size = static_cast<std::size_t>(head_dim * stride);
        Guarded<float> q(static_cast<std::size_t>(head_dim * 16)), k(size), v(size),
            bias(static_cast<std::size_t>(length * 16)), out(static_cast<std::size_t>(head_dim * 16));
        fill(q, rng), fill(k, rng, variant == 2 ? 20 : 1), fill(v, rng), fill(bias, rng);
        const int64_t begin = variant == 1 && length > 4 ? 3 : 0,
                      end = variant == 1 && length > 8 ? length - 1 : length;
        for (int64_t d = 0; d < head_dim; ++d) q[d * 16 + 5] = 0;
        const float* used_bias = variant == 1 ? bias.data() : nullptr;
        const auto run = [&](const attention_i8::Kernel& kernel) {
          // Rounded up to the cache line that a caller aligns to; the end stays guarded.
          Guarded<char> prepared((kernel.prepared_bytes(head_dim, length) + 63) / 64 * 64),
              scratch((kernel.scratch_bytes(head_dim, length) + 63) / 64 * 64);
          kernel.prepare({k.data(), v.data(), head_dim, length, stride, prepared.data()});
          std::memset(out.data(), 0x7f, out.size() * 4);
          kernel.run({q.data(), prepared.data(), used_bias, out.data(), scratch.data(), head_dim, length,
                      begin, end, 0.25f});
          return out.copy();
        };
        const auto wanted = run(*attention_i8::find(Isa::kRef));
        for (const auto* kernel : kernels) {
          ASSERT_TRUE(same_bits(run(*kernel), wanted))
              << name_of(kernel->isa) << " " << head_dim << " " << length << " " << variant;
        }
        // One feature in eight bits over many keys is off by more.
        if (variant != 2 && (head_dim > 1 || length <= 100)) {
          Guarded<float> scores(static_cast<std::size_t>(length * 16));
          exact.run({q.data(), k.data(), v.data(), used_bias, out.data(), scores.data(), head_dim, stride,
                     begin, end, 0.25f});
          double error = 0, magnitude = 0;
          for (std::size_t i = 0; i < out.size(); ++i) {
            error += (wanted[i] - out[i]) * (wanted[i] - out[i]);
            magnitude += out[i] * out[i];
          }
          EXPECT_LE(std::sqrt(error / magnitude), 0.03) << head_dim << " " << length << " " << variant;
        }
        // What is not finite does not pass for a number.
        v[0] = NAN;
        EXPECT_TRUE(std::isnan(run(*attention_i8::find(Isa::kRef))[0]));
        for (const auto* kernel : kernels)
          EXPECT_TRUE(same_bits(run(*kernel), run(*attention_i8::find(Isa::kRef))));
        v[0] = 1, q[3] = INFINITY;
        for (const auto* kernel : kernels) {
          const auto spoilt = run(*kernel);
          EXPECT_TRUE(std::isnan(spoilt[3]));
          EXPECT_FALSE(std::isnan(spoilt[4]));
        }
      }
    }
  }
}

TEST(Peak, CountsWhatItRuns) {
  for (const Isa isa : usable_isas()) {
    const peak::Kernel* kernel = peak::find(isa);
    if (kernel == nullptr) continue;
    for (auto* const run : {kernel->f32, kernel->i8, kernel->bf16}) {
      if (run == nullptr) continue;
      EXPECT_GT(run(1), 0) << name_of(isa);
      EXPECT_EQ(run(100), 100 * run(1)) << name_of(isa);
      EXPECT_EQ(run(0), 0) << name_of(isa);
    }
    EXPECT_EQ(kernel->bf16 != nullptr, isa >= Isa::kAvx512Bf16) << name_of(isa);
  }
}

TEST(Dispatch, ForcedInstructionSetIsTheOneThatRuns) {
  const Isa before = isa_limit();
  for (const Isa isa : usable_isas()) {
    force_isa_limit(isa);
    EXPECT_LE(gemm_f32::select().isa, isa);
    // AVX-VNNI has integer products of its own, and else what AVX2 has.
    const Isa floats = isa == Isa::kAvxVnni ? Isa::kAvx2 : std::min(isa, Isa::kAvx512);
    EXPECT_EQ(gemm_f32::select().isa, floats);
    EXPECT_EQ(gemm_i8::select().isa, isa == Isa::kAvx512 ? cpu_has(Isa::kAvxVnni) ? Isa::kAvxVnni : Isa::kAvx2
                                     : isa == Isa::kAvx512Bf16 ? Isa::kAvx512Vnni
                                                               : isa);
    EXPECT_EQ(pointwise::select().isa, floats);
  }
  force_isa_limit(before);
}

}  // namespace
}  // namespace penjing
