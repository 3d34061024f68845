// The kernels for training on every instruction set of this machine, on ragged sizes, in memory that ends at
// a page the process may not touch: keep masks and what is computed element by element bit for bit, the rest
// against the plain reference or formulas in double.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/rng.h"
#include "kernels/train_activation/train_activation.h"
#include "kernels/train_adamw/train_adamw.h"
#include "kernels/train_attention/train_attention.h"
#include "kernels/train_dropout/train_dropout.h"
#include "kernels/train_norm/train_norm.h"
#include "tests/kernels/guarded.h"

namespace penjing {
namespace {

using testing::Guarded;
using train_rows::Element;

template <typename T>
constexpr Element kElement = sizeof(T) == 4 ? Element::kFloat : Element::kBfloat16;

float value_of(float v) {
  return v;
}
float value_of(uint16_t v) {
  return std::bit_cast<float>(uint32_t{v} << 16);
}
void set(float& at, float v) {
  at = v;
}
void set(uint16_t& at, float v) {  // test values: truncated, so exact afterwards
  at = static_cast<uint16_t>(std::bit_cast<uint32_t>(v) >> 16);
}

template <typename T>
void fill(Guarded<T>& values, Rng& rng, float scale = 1) {
  for (std::size_t i = 0; i < values.size(); ++i) set(values[i], rng.normal() * scale);
}

template <typename T>
void expect_near(const Guarded<T>& values, const Guarded<T>& wanted, double relative, double absolute,
                 const char* what) {
  const double step = relative + (sizeof(T) == 2 ? 0x1p-7 : 0);  // both rounded to bfloat16, once each
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double a = value_of(values[i]), b = value_of(wanted[i]);
    ASSERT_LE(std::fabs(a - b), step * std::fabs(b) + absolute) << what << " " << i << ": " << a << ", " << b;
  }
}

template <typename Kernel>
std::vector<const Kernel*> kernels_here(const Kernel* (*find)(Isa)) {
  std::vector<const Kernel*> kernels;
  for (const Isa isa : usable_isas()) {
    if (const Kernel* kernel = find(isa); kernel != nullptr) kernels.push_back(kernel);
  }
  return kernels;
}

constexpr int64_t kWidths[] = {1, 3, 4, 7, 8, 9, 15, 16, 17, 23, 31, 32, 33, 48, 63, 64, 65, 100, 384};

train_rows::Dropout some_dropout() {
  return {static_cast<uint32_t>(0.3 * 4294967296.0), 0x12345678u, 0x9abcdef0u, 77, 1.0f / 0.7f};
}

template <typename T>
void check_dropout() {
  Rng rng(1);
  for (const int64_t width : kWidths) {
    const int64_t rows = 3;
    Guarded<T> x(rows * width), residual(rows * width), y(rows * width);
    Guarded<int64_t> keys(rows);
    fill(x, rng), fill(residual, rng);
    set(x[0], NAN);
    for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<int64_t>(rng.bits() >> 1);
    const auto dropout = some_dropout();
    for (const bool has_residual : {false, true}) {
      for (const auto* kernel : kernels_here(train_dropout::find)) {
        kernel->run({kElement<T>, rows, width, dropout, keys.data(), x.data(),
                     has_residual ? residual.data() : nullptr, y.data()});
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t c = 0; c < width; ++c) {
            const auto i = static_cast<std::size_t>(r * width + c);
            const auto key = static_cast<uint64_t>(keys[static_cast<std::size_t>(r)]);
            const auto words = philox4x32({static_cast<uint32_t>(c / 4), static_cast<uint32_t>(key),
                                           static_cast<uint32_t>(key >> 32), dropout.step},
                                          {dropout.seed, dropout.site});
            const bool kept = words[static_cast<std::size_t>(c % 4)] >= dropout.threshold;
            float wanted = kept ? value_of(x[i]) * dropout.kept : 0.0f;
            if (has_residual) wanted += value_of(residual[i]);
            if (std::isnan(wanted)) {
              ASSERT_TRUE(std::isnan(value_of(y[i])));
            } else if (sizeof(T) == 4) {
              ASSERT_EQ(value_of(y[i]), wanted) << name_of(kernel->isa) << " width " << width << " at " << i;
            } else {  // to nearest: half a unit in the last place; to even: an odd one is nearer
              const float unit = std::ldexp(1.0f, std::ilogb(wanted == 0 ? 1.0f : wanted) - 7);
              const double off = std::fabs(double{value_of(y[i])} - double{wanted});
              ASSERT_LE(off, unit / 2) << name_of(kernel->isa) << " width " << width << " at " << i;
              if (off == double{unit} / 2) {
                ASSERT_EQ(static_cast<uint32_t>(y[i]) & 1u, 0u);
              }
            }
          }
        }
      }
    }
  }
}
TEST(TrainDropout, FollowsPhiloxBitForBit) {
  check_dropout<float>();
  check_dropout<uint16_t>();
}

template <typename T>
void check_norm() {
  using namespace train_norm;
  Rng rng(2);
  for (const int64_t width : kWidths) {
    for (const Norm norm : {Norm::kLayerNorm, Norm::kRmsNorm, Norm::kAffine}) {
      const int64_t rows = 3, size = rows * width;
      Guarded<T> x(size), residual(size), dy(size);
      Guarded<float> scale(width), shift(width);
      Guarded<int64_t> keys(rows);
      fill(x, rng), fill(residual, rng), fill(dy, rng), fill(scale, rng), fill(shift, rng);
      for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<int64_t>(rng.bits() >> 1);
      const Shape shape = {kElement<T>, norm, rows, width, 1e-3f, some_dropout(), keys.data()};
      struct Results {
        Guarded<T> y, z, d_x, d_residual;
        Guarded<float> statistics, d_scale, d_shift;
        Results(int64_t all, int64_t tokens, int64_t columns)
            : y(all),
              z(all),
              d_x(all),
              d_residual(all),
              statistics(2 * tokens),
              d_scale(columns),
              d_shift(columns) {}
      };
      Results wanted(size, rows, width);
      const auto run = [&](const Kernel& kernel, Results& results) {
        kernel.forward({shape, x.data(), residual.data(), scale.data(), shift.data(), results.y.data(),
                        results.z.data(), results.statistics.data()});
        kernel.backward({shape, dy.data(), results.z.data(), wanted.statistics.data(), scale.data(),
                         results.d_x.data(), results.d_residual.data(), results.d_scale.data(),
                         results.d_shift.data()});
      };
      run(*find(Isa::kRef), wanted);
      for (const auto* kernel : kernels_here(train_norm::find)) {
        Results results(size, rows, width);
        run(*kernel, results);
        SCOPED_TRACE(::testing::Message()
                     << name_of(kernel->isa) << " width " << width << " norm " << static_cast<int>(norm));
        // Sums of `width` terms of order 1 in another order, times r <= 32.
        const double sums = static_cast<double>(width + 8) * 0x1p-24 * 40 * 8;
        ASSERT_NO_FATAL_FAILURE(expect_near(results.statistics, wanted.statistics, 1e-4, 1e-5, "statistics"));
        ASSERT_EQ(results.z.copy(), wanted.z.copy());
        ASSERT_NO_FATAL_FAILURE(expect_near(results.y, wanted.y, 1e-5, sums, "y"));
        ASSERT_NO_FATAL_FAILURE(expect_near(results.d_x, wanted.d_x, 1e-5, sums, "d_x"));
        ASSERT_NO_FATAL_FAILURE(expect_near(results.d_residual, wanted.d_residual, 1e-5, sums, "d_residual"));
        ASSERT_NO_FATAL_FAILURE(expect_near(results.d_scale, wanted.d_scale, 1e-5, 1e-4, "d_scale"));
        ASSERT_NO_FATAL_FAILURE(expect_near(results.d_shift, wanted.d_shift, 1e-5, 1e-5, "d_shift"));
        // Without gradients z may be y.
        Guarded<T> y(size);
        kernel->forward(
            {shape, x.data(), residual.data(), scale.data(), shift.data(), y.data(), y.data(), nullptr});
        ASSERT_EQ(y.copy(), results.y.copy());
      }
    }
  }
}
TEST(TrainNorm, EqualsReferenceOnRaggedSizes) {
  check_norm<float>();
  check_norm<uint16_t>();
}

// f(x), f'(x) in double.
std::pair<double, double> exact(pointwise::Function function, double x) {
  using pointwise::Function;
  switch (function) {
    case Function::kNone:
      return {x, 1};
    case Function::kGelu: {
      const double below = std::erfc(-x / std::numbers::sqrt2) / 2;
      return {x * below, below + x * std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi)};
    }
    case Function::kGeluTanh: {
      const double s = std::sqrt(2 / std::numbers::pi), t = std::tanh(s * (x + 0.044715 * x * x * x));
      return {x / 2 * (1 + t), (1 + t + x * (1 - t * t) * s * (1 + 3 * 0.044715 * x * x)) / 2};
    }
    case Function::kRelu:
      return {x > 0 ? x : 0, x > 0 ? 1 : 0};
    case Function::kSilu: {
      const double s = 1 / (1 + std::exp(-x));
      return {x * s, s * (1 + x * (1 - s))};
    }
    case Function::kTanh:
      return {std::tanh(x), 1 - std::tanh(x) * std::tanh(x)};
  }
  return {};
}

template <typename T>
void check_activation() {
  using pointwise::Function;
  std::vector<float> points;
  for (int i = -12000; i <= 12000; i += 7) points.push_back(static_cast<float>(i) / 1000);
  for (const float v : {-100.0f, -30.0f, 30.0f, 100.0f, 1e-20f, -1e-20f}) points.push_back(v);
  for (const std::size_t size : {std::size_t{1}, std::size_t{13}, points.size()}) {
    Guarded<T> x(size), dy(size), result(size);
    for (std::size_t i = 0; i < size; ++i) set(x[i], points[i]), set(dy[i], 0.5f);
    for (const Function function : {Function::kNone, Function::kGelu, Function::kGeluTanh, Function::kRelu,
                                    Function::kSilu, Function::kTanh}) {
      for (const auto* kernel : kernels_here(train_activation::find)) {
        for (const bool backward : {false, true}) {
          train_activation::Args args{kElement<T>, function,  static_cast<int64_t>(size),
                                      x.data(),    dy.data(), result.data()};
          backward ? kernel->backward(args) : kernel->forward(args);
          for (std::size_t i = 0; i < size; ++i) {
            const double at = value_of(x[i]);
            const auto [value, slope] = exact(function, at);
            const double wanted = backward ? slope / 2 : value;
            // erf and tanh are good to 2e-7 and 1.2e-7 absolute, x times that; the density's factor x^2 too.
            const double bound = 4e-7 * (1 + std::min(std::fabs(at), 16.0)) * (backward ? 3 : 1) +
                                 std::fabs(wanted) * (sizeof(T) == 2 ? 0x1p-8 : 0x1p-20);
            ASSERT_LE(std::fabs(value_of(result[i]) - wanted), bound)
                << name_of(kernel->isa) << " function " << static_cast<int>(function) << " at " << at
                << (backward ? " backward" : "");
          }
        }
      }
    }
  }
}
TEST(TrainActivation, ValuesAndSlopesAgainstDouble) {
  check_activation<float>();
  check_activation<uint16_t>();
}

TEST(TrainAdamw, EveryInstructionSetTakesTheSameStep) {
  using namespace train_adamw;
  Rng rng(4);
  for (const int64_t size : {1, 7, 8, 15, 16, 17, 100}) {
    Guarded<float> w(size), m(size), v(size), g(size);
    fill(w, rng), fill(m, rng, 0.1f), fill(g, rng);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(rng.uniform());
    const auto w0 = w.copy(), m0 = m.copy(), v0 = v.copy();
    const double rate = 1e-2, decay = 0.1, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
    const double correction1 = 1 - std::pow(beta1, 3), correction2 = 1 - std::pow(beta2, 3);
    std::vector<float> first;
    for (const auto* kernel : kernels_here(train_adamw::find)) {
      for (std::size_t i = 0; i < w.size(); ++i) w[i] = w0[i], m[i] = m0[i], v[i] = v0[i];
      kernel->step({size, w.data(), m.data(), v.data(), g.data(), 0.5f, 0.9f, 0.1f, 0.999f, 0.001f,
                    static_cast<float>(1 - rate * decay), static_cast<float>(rate / correction1),
                    static_cast<float>(1 / std::sqrt(correction2)), static_cast<float>(epsilon)});
      for (std::size_t i = 0; i < w.size(); ++i) {
        const double gradient = double{g[i]} / 2, m1 = beta1 * m0[i] + (1 - beta1) * gradient;
        const double v1 = beta2 * v0[i] + (1 - beta2) * gradient * gradient;
        const double change = rate * (m1 / correction1) / (std::sqrt(v1 / correction2) + epsilon);
        const double wanted = w0[i] * (1 - rate * decay) - change;
        ASSERT_NEAR(m[i], m1, 1e-6);
        ASSERT_NEAR(v[i], v1, 1e-6);
        ASSERT_NEAR(w[i], wanted, 1e-6 * (std::fabs(w0[i]) + std::fabs(change))) << name_of(kernel->isa);
      }
      if (first.empty()) first = w.copy();
      ASSERT_EQ(w.copy(), first) << name_of(kernel->isa);
    }
  }
}

// Q = K = 0 and V = 1: every row of P is 1 / length, and the output shows the mask.
TEST(TrainAttention, MaskFollowsPhiloxBitForBit) {
  using namespace train_attention;
  for (const int64_t length : {1, 5, 16, 17, 31, 33, 64, 100}) {
    const auto size = static_cast<std::size_t>(length * length);
    Guarded<float> zero(size), identity(size), out(size);
    for (std::size_t i = 0; i < static_cast<std::size_t>(length); ++i) {
      for (std::size_t j = 0; j < static_cast<std::size_t>(length); ++j) {
        zero[i * static_cast<std::size_t>(length) + j] = 0;
        identity[i * static_cast<std::size_t>(length) + j] = i == j ? 1.0f : 0.0f;
      }
    }
    Shape shape = {Element::kFloat, length, length,         length,    length, length, length, 1.0f, 0,
                   nullptr,         0,      some_dropout(), 123456789, 11};
    for (const auto* kernel : kernels_here(train_attention::find)) {
      Guarded<float> scratch(kernel->scratch_floats(length, length));
      kernel->forward(
          {shape, zero.data(), zero.data(), identity.data(), out.data(), nullptr, scratch.data()});
      for (int64_t i = 0; i < length; ++i) {
        for (int64_t j = 0; j < length; ++j) {
          const uint64_t row = uint64_t{123456789} << 20 | static_cast<uint64_t>(i);
          const auto column = static_cast<uint32_t>(11 << 20 | j);
          const auto words = philox4x32(
              {column / 4, static_cast<uint32_t>(row), static_cast<uint32_t>(row >> 32), shape.dropout.step},
              {shape.dropout.seed, shape.dropout.site});
          const bool kept = words[column % 4] >= shape.dropout.threshold;
          ASSERT_EQ(out[static_cast<std::size_t>(i * length + j)] != 0, kept)
              << name_of(kernel->isa) << " length " << length << " at " << i << ", " << j;
        }
      }
    }
  }
}

template <typename T>
void check_attention() {
  using namespace train_attention;
  Rng rng(5);
  for (const int64_t head_dim : {1, 12, 16, 32, 40, 64}) {
    for (const int64_t length : {1, 2, 7, 16, 31, 32, 33, 47, 48, 49, 65, 130}) {
      for (const int64_t window : {0, 3, 20}) {
        const int64_t stride = head_dim + 5, size = (length - 1) * stride + head_dim;
        Guarded<T> q(size), k(size), v(size), d_out(size);
        fill(q, rng), fill(k, rng), fill(v, rng), fill(d_out, rng);
        const int64_t bias_stride = length + 2, biases = (length - 1) * bias_stride + length;
        Guarded<float> bias(biases);
        fill(bias, rng);
        const Shape shape = {kElement<T>, length,
                             head_dim,    stride,
                             stride,      stride,
                             stride,      1 / std::sqrt(static_cast<float>(head_dim)),
                             window,      window == 20 ? nullptr : bias.data(),
                             bias_stride, some_dropout(),
                             99,          3};
        struct Results {
          Guarded<T> out, d_q, d_k, d_v;
          Guarded<float> statistics, d_bias;
          Results(int64_t all, int64_t tokens, int64_t pairs)
              : out(all), d_q(all), d_k(all), d_v(all), statistics(2 * tokens), d_bias(pairs) {}
        };
        const auto run = [&](const Kernel& kernel, Results& results) {
          Guarded<float> scratch(kernel.scratch_floats(length, head_dim));
          for (std::size_t i = 0; i < scratch.size(); ++i) scratch[i] = NAN;
          kernel.forward({shape, q.data(), k.data(), v.data(), results.out.data(), results.statistics.data(),
                          scratch.data()});
          kernel.backward({shape, q.data(), k.data(), v.data(), d_out.data(), results.statistics.data(),
                           results.d_q.data(), results.d_k.data(), results.d_v.data(), stride,
                           results.d_bias.data(), scratch.data()});
        };
        Results wanted(size, length, biases);
        run(*find(Isa::kRef), wanted);
        for (const auto* kernel : kernels_here(train_attention::find)) {
          Results results(size, length, biases);
          run(*kernel, results);
          SCOPED_TRACE(::testing::Message() << name_of(kernel->isa) << " head_dim " << head_dim << " length "
                                            << length << " window " << window);
          // Scores of up to 20 whose sums of head_dim terms differ by 2^-24 each, and P with them.
          const double close = 3e-5;
          ASSERT_NO_FATAL_FAILURE(expect_near(results.out, wanted.out, 1e-5, close, "out"));
          ASSERT_NO_FATAL_FAILURE(expect_near(results.d_q, wanted.d_q, 1e-5, close * 3, "d_q"));
          ASSERT_NO_FATAL_FAILURE(expect_near(results.d_k, wanted.d_k, 1e-5, close * 3, "d_k"));
          ASSERT_NO_FATAL_FAILURE(expect_near(results.d_v, wanted.d_v, 1e-5, close * 3, "d_v"));
          ASSERT_NO_FATAL_FAILURE(expect_near(results.d_bias, wanted.d_bias, 1e-5, close, "d_bias"));
        }
      }
    }
  }
}
TEST(TrainAttention, EqualsReferenceOnRaggedSizes) {
  check_attention<float>();
  check_attention<uint16_t>();
}

}  // namespace
}  // namespace penjing
