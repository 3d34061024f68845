// The operations on our kernels against their formulas in double (reference.h) and the formulas' finite
// differences; on any number of threads and beside any other sequences bit for bit the same.
#include "train/ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "train/ops/reference.h"

namespace penjing::train {
namespace {

using Tensors = std::vector<at::Tensor>;
using Operation = std::function<at::Tensor(const Tensors&)>;

at::Tensor random(at::IntArrayRef sizes, int64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<uint64_t>(seed));
  return at::randn(sizes, generator, at::TensorOptions().dtype(at::kDouble));
}

// Rows of the type under test, and the same values in double, all of them leaves.
struct Inputs {
  Tensors narrow, wide;
};
Inputs inputs_of(const Tensors& values, const std::vector<at::ScalarType>& types) {
  Inputs inputs;
  for (std::size_t i = 0; i < values.size(); ++i) {
    at::Tensor narrow = values[i].defined() ? values[i].to(types[i]) : at::Tensor();
    at::Tensor wide = values[i].defined() ? narrow.to(at::kDouble) : at::Tensor();
    if (narrow.defined()) narrow.requires_grad_(), wide.requires_grad_();
    inputs.narrow.push_back(narrow), inputs.wide.push_back(wide);
  }
  return inputs;
}

// y and the gradients of sum(y * weights).
Tensors run(const Operation& operation, const Tensors& inputs, const at::Tensor& weights) {
  Tensors results = {operation(inputs)};
  for (const auto& input : inputs) {
    if (input.defined()) input.mutable_grad() = at::Tensor();
  }
  results[0].backward(weights.to(results[0].scalar_type()));
  for (const auto& input : inputs) results.push_back(input.defined() ? input.grad().clone() : at::Tensor());
  results[0] = results[0].detach();
  return results;
}

void expect_near(const at::Tensor& value, const at::Tensor& wanted, double tolerance, const char* what,
                 std::size_t index) {
  const double scale = wanted.abs().max().item<double>() + 1e-3;
  const double error = (value.to(at::kDouble) - wanted).abs().max().item<double>();
  EXPECT_LE(error, tolerance * scale) << what << " " << index << " of order " << scale;
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() &&
         std::memcmp(a.contiguous().data_ptr(), b.contiguous().data_ptr(), a.nbytes()) == 0;
}

// The whole check of an operation: ours, the reference's, values of the inputs, their types.
void check(const char* what, const Operation& ours, const Operation& reference, const Tensors& values,
           const std::vector<at::ScalarType>& types, double tolerance) {
  SCOPED_TRACE(what);
  const Inputs inputs = inputs_of(values, types);
  const at::Tensor probe = reference(inputs.wide);
  // Exact in every type.
  const at::Tensor weights = random(probe.sizes(), 99).mul(4).round().div(4);
  at::set_num_threads(1);
  const Tensors alone = run(ours, inputs.narrow, weights);
  at::set_num_threads(2);
  const Tensors together = run(ours, inputs.narrow, weights);
  const Tensors wanted = run(reference, inputs.wide, weights);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    ASSERT_EQ(alone[i].defined(), wanted[i].defined());
    if (!wanted[i].defined()) continue;
    EXPECT_TRUE(same_bits(alone[i], together[i])) << "differs with the number of threads: " << i;
    EXPECT_EQ(alone[i].scalar_type(), i == 0 ? inputs.narrow[0].scalar_type() : types[i - 1]);
    expect_near(alone[i], wanted[i], tolerance, i == 0 ? "value" : "gradient", i);
  }
  // Along one direction: (f(x + h d) - f(x - h d)) / 2h against the gradients' product with d.
  at::NoGradGuard no_gradient;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!values[i].defined()) continue;
    const double h = 1e-5;
    const at::Tensor direction = random(values[i].sizes(), 7);
    Tensors up = inputs.wide, down = inputs.wide;
    up[i] = up[i] + direction * h, down[i] = down[i] - direction * h;
    const double slope = ((reference(up) - reference(down)) * weights).sum().item<double>() / (2 * h);
    const double ours_slope = (alone[i + 1].to(at::kDouble) * direction).sum().item<double>();
    const double scale = (wanted[i + 1] * direction).norm().item<double>() + 1e-3;
    EXPECT_NEAR(ours_slope, slope,
                (tolerance * 2 + 1e-7) * scale * std::sqrt(static_cast<double>(direction.numel())))
        << "finite differences of input " << i;
  }
}

at::Tensor keys_of(int64_t rows) {
  return at::arange(rows, at::kLong) + (int64_t{5000} << 20);
}
DropoutSite some_dropout(double p) {
  return {p, {uint64_t{7} << 33 | 5, 12}, 3};
}

// FP32: sums of `width` terms of order 1 to 3, each rounded, times the inverse deviation; bfloat16: a
// rounding (2^-8) of the sum, of the result and of the gradients.
constexpr double kFloatTolerance = 5e-6, kBfloatTolerance = 0x1p-6;

TEST(Ops, DropoutAddNorm) {
  for (const at::ScalarType rows : {at::kFloat, at::kBFloat16}) {
    for (const NormKind kind : {NormKind::kLayerNorm, NormKind::kRmsNorm, NormKind::kAffine}) {
      for (const int64_t tokens : {1, 64, 150}) {
        for (const int64_t width : {5, 33, 96}) {
          for (const int variant : {0, 1, 2, 3}) {  // residual, shift
            const double p = variant == 3 ? 0.0 : 0.3;
            NormSpec spec;
            spec.kind = kind, spec.width = width, spec.epsilon = 1e-5f;
            const Operation ours = [&](const Tensors& t) {
              return dropout_add_norm(t[0], t[1], t[2], t[3], spec, some_dropout(p), keys_of(tokens));
            };
            // The sum is stored as a row: in the reference too.
            const Operation formula = [&](const Tensors& t) {
              return reference::dropout_add_norm(t[0], t[1], t[2], t[3], spec, some_dropout(p),
                                                 keys_of(tokens));
            };
            const at::Tensor none;
            check("dropout_add_norm", ours, formula,
                  {random({tokens, width}, 1), variant & 1 ? random({tokens, width}, 2) : none,
                   random({width}, 3), variant & 2 ? random({width}, 4) : none},
                  {rows, rows, at::kFloat, at::kFloat},
                  rows == at::kFloat ? kFloatTolerance * 4 : kBfloatTolerance * 2);
          }
        }
      }
    }
  }
}

TEST(Ops, DropoutAdd) {
  for (const at::ScalarType rows : {at::kFloat, at::kBFloat16}) {
    for (const double p : {0.0, 0.1, 0.5}) {
      for (const bool residual : {false, true}) {
        const auto with = [&](const auto& function) {
          return [&](const Tensors& t) { return function(t[0], t[1], some_dropout(p), keys_of(37)); };
        };
        check("dropout_add", with(dropout_add), with(reference::dropout_add),
              {random({37, 50}, 1), residual ? random({37, 50}, 2) : at::Tensor()}, {rows, rows},
              rows == at::kFloat ? 2e-7 : 0x1p-8);
      }
    }
  }
}

TEST(Ops, DropoutMaskIsTheReferencesBitForBit) {
  for (const at::ScalarType rows : {at::kFloat, at::kBFloat16}) {
    for (const int64_t width : {1, 7, 31, 32, 33, 384}) {
      const at::Tensor ones = at::ones({50, width}, rows);
      const at::Tensor ours = dropout_add(ones, {}, some_dropout(0.1), keys_of(50));
      EXPECT_TRUE(same_bits(ours, reference::keep_mask(ones, some_dropout(0.1), keys_of(50)))) << width;
    }
  }
}

// Finite differences do not see the corner of relu.
at::Tensor away_from_zero(const at::Tensor& x) {
  return at::where(x.abs() < 1e-3, at::full_like(x, 0.5), x);
}

TEST(Ops, Activate) {
  for (const at::ScalarType rows : {at::kFloat, at::kBFloat16}) {
    for (const Activation activation : {Activation::kNone, Activation::kGelu, Activation::kGeluTanh,
                                        Activation::kRelu, Activation::kSilu, Activation::kTanh}) {
      for (const int64_t width : {1, 19, 700}) {
        check(
            "activate", [&](const Tensors& t) { return activate(t[0], activation); },
            [&](const Tensors& t) { return reference::activate(t[0], activation); },
            {away_from_zero(random({61, width}, 1).mul(2))}, {rows}, rows == at::kFloat ? 1e-6 : 0x1p-8);
      }
    }
  }
}

struct Case {
  std::vector<int64_t> lengths;
  int64_t heads, head_dim, window;
  bool bias;
  double p;
};

std::vector<int64_t> offsets_of(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> offsets = {0};
  for (const int64_t length : lengths) offsets.push_back(offsets.back() + length);
  return offsets;
}

TEST(Ops, Attention) {
  const std::vector<Case> cases = {
      {{5}, 1, 8, 0, false, 0},
      {{1, 17, 40}, 2, 12, 0, false, 0.2},
      {{33, 2, 48, 49}, 3, 32, 0, true, 0.1},
      {{100, 64}, 2, 16, 7, false, 0.1},
      {{130}, 2, 64, 20, true, 0},
  };
  for (const at::ScalarType rows : {at::kFloat, at::kBFloat16}) {
    for (const Case& c : cases) {
      const auto offsets = offsets_of(c.lengths);
      std::vector<int64_t> samples;
      for (std::size_t s = 0; s < c.lengths.size(); ++s)
        samples.push_back(static_cast<int64_t>(5000 + 7 * s));
      const AttentionShape shape = {c.heads, c.head_dim, 1 / std::sqrt(static_cast<float>(c.head_dim)),
                                    c.window};
      const int64_t width = c.heads * c.head_dim, tokens = offsets.back();
      const int64_t longest = *std::max_element(c.lengths.begin(), c.lengths.end());
      const auto with = [&](const auto& function) {
        // Query, key and value are columns of one matrix.
        return [&](const Tensors& t) {
          return function(t[0].narrow(1, 0, width), t[0].narrow(1, width, width),
                          t[0].narrow(1, 2 * width, width), offsets, samples, shape, t[1], some_dropout(c.p),
                          nullptr);
        };
      };
      check("attention", with(attention), with(reference::attention),
            {random({tokens, 3 * width}, 1), c.bias ? random({c.heads, longest, longest}, 2) : at::Tensor()},
            {rows, at::kFloat}, rows == at::kFloat ? 4e-6 : 0x1p-6);
    }
  }
}

// A sequence's values and gradients do not depend on the others.
TEST(Ops, AttentionIgnoresNeighbours) {
  const std::vector<int64_t> lengths = {3, 37, 61};
  const AttentionShape shape = {4, 16, 0.25f, 0};
  for (const at::ScalarType rows : {at::kFloat, at::kBFloat16}) {
    at::Tensor q = random({101, 64}, 1).to(rows).requires_grad_(), k = random({101, 64}, 2).to(rows),
               v = random({101, 64}, 3).to(rows);
    const at::Tensor all =
        attention(q, k, v, offsets_of(lengths), {10, 11, 12}, shape, {}, some_dropout(0.1), nullptr);
    all.sum().backward();
    at::Tensor alone = q.detach().narrow(0, 3, 37).clone().requires_grad_();
    const at::Tensor one = attention(alone, k.narrow(0, 3, 37), v.narrow(0, 3, 37), {0, 37}, {11}, shape, {},
                                     some_dropout(0.1), nullptr);
    one.sum().backward();
    EXPECT_TRUE(same_bits(one, all.narrow(0, 3, 37)));
    EXPECT_TRUE(same_bits(alone.grad(), q.grad().narrow(0, 3, 37)));
  }
}

TEST(Ops, NoTokens) {
  const at::Tensor none = at::empty({0, 16});
  NormSpec spec;
  spec.width = 16;
  const at::Tensor scale = at::ones({16}).requires_grad_(), keys = at::empty({0}, at::kLong);
  at::Tensor y = dropout_add_norm(none, none, scale, scale, spec, some_dropout(0.1), keys);
  y.sum().backward();
  EXPECT_EQ(scale.grad().abs().sum().item<float>(), 0);
  EXPECT_EQ(dropout_add(none, none, some_dropout(0.1), keys).sizes(), none.sizes());
  EXPECT_EQ(activate(none, Activation::kGelu).sizes(), none.sizes());
  EXPECT_EQ(attention(none, none, none, {0}, {}, {2, 8, 1, 0}, {}, {}, nullptr).sizes(), none.sizes());
}

}  // namespace
}  // namespace penjing::train
