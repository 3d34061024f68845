#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "base/error.h"
#include "numerics/float16.h"
#include "numerics/float_format.h"
#include "train/arithmetic.h"
#include "train/rounded_product.h"

namespace penjing::train {
namespace {

at::Tensor random_tensor(at::IntArrayRef shape, uint32_t seed, float spread) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0, spread);
  at::Tensor x = at::empty(shape, at::kFloat);
  float* data = x.data_ptr<float>();
  for (int64_t i = 0; i < x.numel(); ++i) data[i] = normal(engine);
  return x;
}

at::Tensor leaf(at::Tensor x) {
  x.set_requires_grad(true);
  return x;
}

// The reference rounding, element by element, by codes.
at::Tensor coded(const char* format, const at::Tensor& x, Overflow overflow = Overflow::kInfinity) {
  const FloatFormat& f = *find_float_format(format);
  at::Tensor y = at::empty_like(x.contiguous());
  const at::Tensor in = x.contiguous();
  for (int64_t i = 0; i < x.numel(); ++i)
    y.data_ptr<float>()[i] = decode(f, encode(f, in.data_ptr<float>()[i], Rounding::kNearestEven, overflow));
  return y;
}

void expect_same_bits(const at::Tensor& a, const at::Tensor& b) {
  ASSERT_EQ(a.sizes(), b.sizes());
  const at::Tensor left = a.contiguous(), right = b.contiguous();
  for (int64_t i = 0; i < a.numel(); ++i) {
    // The payload of a NaN is not kept over arrays.
    if (std::isnan(left.data_ptr<float>()[i]) && std::isnan(right.data_ptr<float>()[i])) continue;
    ASSERT_EQ(std::bit_cast<uint32_t>(left.data_ptr<float>()[i]),
              std::bit_cast<uint32_t>(right.data_ptr<float>()[i]))
        << i << ": " << left.data_ptr<float>()[i] << " and " << right.data_ptr<float>()[i];
  }
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
  return (x - y).norm().item<double>() / y.norm().item<double>();
}

struct Graph {
  at::Tensor y, x, weight, bias;  // after backward: their gradients are there
};
Graph run(Arithmetic& arithmetic, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
          const at::Tensor& gradient) {
  Graph g{{}, leaf(x.clone()), leaf(weight.clone()), leaf(bias.clone())};
  g.y = arithmetic.linear(g.x.to(arithmetic.row_type()), g.weight, g.bias, "layer");
  torch::autograd::backward({g.y}, {gradient.to(g.y.scalar_type())});
  return g;
}

TEST(RoundTo, EqualsTheReferenceOnRandomBitsAndEdges) {
  std::mt19937 engine(7);
  std::vector<float> values;
  for (int i = 0; i < 60000; ++i) values.push_back(std::bit_cast<float>(static_cast<uint32_t>(engine())));
  for (int e = -150; e < 128; ++e) {
    for (const double m : {1.0, 1.0009765625, 1.00048828125, 1.5, 1.75, 1.99951171875, 1.9999999})
      values.push_back(static_cast<float>(std::ldexp(m, e)));
  }
  for (const float x : {0.0f, -0.0f, 65504.0f, 65519.99f, 65520.0f, 0x1p-24f, 0x1p-25f, 0x1.000002p-25f,
                        448.0f, 464.0f, 465.0f, 57344.0f, 61440.0f, INFINITY, -INFINITY, NAN})
    values.push_back(x);
  const at::Tensor x = at::tensor(values);
  for (const char* name : {"fp16", "bf16", "tf32", "fp8_e4m3", "fp8_e5m2"}) {
    SCOPED_TRACE(name);
    expect_same_bits(round_to(*find_float_format(name), Overflow::kInfinity, x), coded(name, x));
  }
}

TEST(RoundTo, SaysWhetherSomethingIsNotFinite) {
  const FloatFormat& fp16 = *find_float_format("fp16");
  at::Tensor x = at::ones({300, 200});
  bool not_finite = true;
  round_to(fp16, Overflow::kInfinity, x, &not_finite);
  EXPECT_FALSE(not_finite);
  x[299][199] = 65520;  // rounds to infinity
  round_to(fp16, Overflow::kInfinity, x, &not_finite);
  EXPECT_TRUE(not_finite);
  x[299][199] = 65519;
  round_to(fp16, Overflow::kInfinity, x, &not_finite);
  EXPECT_FALSE(not_finite);
}

TEST(RoundTo, RowsOfAnyStride) {
  const at::Tensor x = random_tensor({8, 6}, 3, 1).t();
  expect_same_bits(round_to(*find_float_format("fp16"), Overflow::kInfinity, x), coded("fp16", x));
}

TEST(Precisions, AreFoundByName) {
  std::vector<std::string> names;
  for (const Precision* p : all_precisions()) {
    names.emplace_back(p->name);
    EXPECT_EQ(p->make()->name(), p->name);
    EXPECT_NE(find_float_format(p->gradient_format), nullptr);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"fp32", "bf16", "fp16", "tf32", "fp8"}));
  EXPECT_TRUE(find_precision("fp16").needs_loss_scaling);
  EXPECT_FALSE(find_precision("bf16").needs_loss_scaling);
  try {
    make_arithmetic("fp64");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    EXPECT_STREQ(e.what(), "precision \"fp64\"; there are fp32, bf16, fp16, tf32, fp8");
  }
}

TEST(Fp16, ProductAndGradientsAreFp16OfFp32Sums) {
  const at::Tensor x = random_tensor({9, 40}, 1, 1), w = random_tensor({24, 40}, 2, 0.1f),
                   b = random_tensor({24}, 3, 1), g = random_tensor({9, 24}, 4, 0.01f);
  auto arithmetic = make_arithmetic("fp16");
  const Graph got = run(*arithmetic, x, w, b, g);
  const at::Tensor x16 = coded("fp16", x), w16 = coded("fp16", w), b16 = coded("fp16", b),
                   g16 = coded("fp16", g);
  // The same FP32 sums, rounded once; the numbers are those of FP16.
  expect_same_bits(got.y.detach(), coded("fp16", at::linear(x16, w16) + b16));
  expect_same_bits(got.x.grad(), coded("fp16", at::mm(g16, w16)));
  expect_same_bits(got.weight.grad(), coded("fp16", at::mm(g16.t(), x16)));
  expect_same_bits(got.bias.grad(), coded("fp16", g16.sum(0)));
  // Against double: half an FP16 spacing from the exact product of the rounded operands.
  const at::Tensor exact = at::linear(x16.to(at::kDouble), w16.to(at::kDouble), b16.to(at::kDouble));
  const at::Tensor error = (got.y.detach().to(at::kDouble) - exact).abs();
  EXPECT_TRUE((error <= exact.abs() * (0x1p-11 + 1e-5) + 1e-5).all().item<bool>());
  EXPECT_GT(relative_difference(got.y.detach(), at::linear(x, w, b)), 1e-5);  // rounding happened
  EXPECT_TRUE(arithmetic->take_overflows().empty());
}

TEST(Fp16, RoundsOtherResultsAndTheirGradients) {
  auto arithmetic = make_arithmetic("fp16");
  const at::Tensor values = random_tensor({5, 7}, 5, 3), g = random_tensor({5, 7}, 6, 1e-6f);
  const at::Tensor x = leaf(values.clone());
  const at::Tensor y = arithmetic->round(x, "norm");
  torch::autograd::backward({y}, {g});
  expect_same_bits(y.detach(), coded("fp16", values));
  expect_same_bits(x.grad(), coded("fp16", g));
  EXPECT_GT((g != x.grad()).sum().item<int64_t>(), 0);
}

TEST(Fp16, NamesWhereItOverflowsForwardAndBackward) {
  auto arithmetic = make_arithmetic("fp16");
  const at::Tensor x = at::full({2, 4}, 300.0f), w = at::full({3, 4}, 100.0f), b = at::zeros({3});
  at::Tensor g = at::ones({2, 3});
  // 4 * 300 * 100 = 120000 > 65504
  const Graph forward = run(*arithmetic, x, w, b, g);
  EXPECT_TRUE(std::isinf(forward.y[0][0].item<float>()));
  auto reports = arithmetic->take_overflows();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].site, "layer");
  EXPECT_EQ(reports[0].tensor, "output");
  EXPECT_EQ(reports[0].overflows, 6);
  EXPECT_EQ(reports[0].histogram.numbers(), 6);
  EXPECT_EQ(reports[0].histogram.highest(), 16);  // 2^16 <= 120000 < 2^17
  EXPECT_EQ(reports[0].text(),
            "layer, output: 6 of 6 values beyond fp16's largest; largest finite 1.2e+05; exponents 16 to 16, "
            "fp16 has -24 to 15");
  EXPECT_TRUE(arithmetic->take_overflows().empty());  // taken
  // Backward: the gradient of the output fits, its product with the weights does not.
  g = at::full({2, 3}, 400.0f);
  run(*arithmetic, at::ones({2, 4}), at::full({3, 4}, 100.0f), b, g);
  reports = arithmetic->take_overflows();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].tensor, "gradient of input");
  EXPECT_EQ(reports[0].overflows, 8);
  // What arrives infinite is told as that, once.
  g[1][1] = INFINITY;
  run(*arithmetic, at::ones({2, 4}), at::ones({3, 4}), b, g);
  reports = arithmetic->take_overflows();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].tensor, "gradient of output");
  EXPECT_EQ(reports[0].overflows, 0);
  EXPECT_EQ(reports[0].histogram.infinities, 1);
}

TEST(Fp16, SmallGradientsVanishUnlessScaled) {
  auto arithmetic = make_arithmetic("fp16");
  const at::Tensor x = at::ones({1, 2}), w = at::ones({2, 2}), b = at::zeros({2});
  const at::Tensor g = at::full({1, 2}, 0x1p-26f);
  EXPECT_EQ(run(*arithmetic, x, w, b, g).weight.grad().abs().max().item<float>(), 0);
  const at::Tensor scaled = run(*arithmetic, x, w, b, g * 1024).weight.grad() / 1024;
  EXPECT_EQ(scaled[0][0].item<float>(), 0x1p-26f);
}

TEST(Precisions, TakeALayerWithoutBias) {
  const at::Tensor w = random_tensor({24, 40}, 2, 0.1f);
  for (const Precision* precision : all_precisions()) {
    SCOPED_TRACE(precision->name);
    auto arithmetic = precision->make();
    const at::Tensor x = leaf(random_tensor({9, 40}, 1, 1)), weight = leaf(w.clone());
    const at::Tensor y = arithmetic->linear(x.to(arithmetic->row_type()), weight, at::Tensor(), "layer");
    torch::autograd::backward({y.to(at::kFloat).sum()}, {});
    EXPECT_LT(relative_difference(y.detach(), at::linear(x, w)), 0.1);
    EXPECT_LT(relative_difference(x.grad(), w.sum(0).expand({9, 40})), 0.1);
    EXPECT_LT(relative_difference(weight.grad(), x.detach().sum(0).expand({24, 40})), 0.1);
  }
}

TEST(Bf16, ProductAndGradients) {
  const at::Tensor x = random_tensor({17, 48}, 1, 1), w = random_tensor({32, 48}, 2, 0.1f),
                   b = random_tensor({32}, 3, 1), g = random_tensor({17, 32}, 4, 0.01f);
  auto arithmetic = make_arithmetic("bf16");
  const Graph got = run(*arithmetic, x, w, b, g);
  EXPECT_EQ(got.y.scalar_type(), at::kBFloat16);
  EXPECT_EQ(got.weight.grad().scalar_type(), at::kFloat);
  EXPECT_EQ(got.bias.grad().scalar_type(), at::kFloat);
  const auto narrow = [](const at::Tensor& t) { return coded("bf16", t).to(at::kDouble); };
  const at::Tensor xb = narrow(x), wb = narrow(w), bb = narrow(b), gb = narrow(g);
  constexpr double kHalfSpacing = 0x1p-8;  // relative
  EXPECT_LT(relative_difference(got.y.detach(), at::linear(xb, wb, bb)), kHalfSpacing);
  EXPECT_LT(relative_difference(got.x.grad(), at::mm(gb, wb)), kHalfSpacing);
  EXPECT_LT(relative_difference(got.weight.grad(), at::mm(gb.t(), xb)), kHalfSpacing);
  EXPECT_LT(relative_difference(got.bias.grad(), gb.sum(0)), 1e-6);  // an FP32 sum
  // Operands were rounded: closer to the product of rounded numbers than to that of the numbers given.
  EXPECT_LT(relative_difference(got.bias.grad(), gb.sum(0)),
            relative_difference(got.bias.grad(), g.to(at::kDouble).sum(0)));
}

TEST(Tf32, OperandsHaveTenBits) {
  const at::Tensor x = random_tensor({9, 40}, 1, 1), w = random_tensor({24, 40}, 2, 0.1f),
                   b = random_tensor({24}, 3, 1), g = random_tensor({9, 24}, 4, 0.01f);
  auto arithmetic = make_arithmetic("tf32");
  const Graph got = run(*arithmetic, x, w, b, g);
  const at::Tensor xt = coded("tf32", x), wt = coded("tf32", w), gt = coded("tf32", g);
  expect_same_bits(got.y.detach(), at::linear(xt, wt) + b);
  expect_same_bits(got.x.grad(), at::mm(gt, wt));
  expect_same_bits(got.weight.grad(), at::mm(gt.t(), xt));
  expect_same_bits(got.bias.grad(), g.sum(0));
}

TEST(Fp8, ScalesEachTensorOntoTheFormat) {
  const at::Tensor x = random_tensor({9, 40}, 1, 5), w = random_tensor({24, 40}, 2, 1e-3f),
                   b = random_tensor({24}, 3, 1), g = random_tensor({9, 24}, 4, 1e-7f);
  auto arithmetic = make_arithmetic("fp8");
  const Graph got = run(*arithmetic, x, w, b, g);
  const auto quantized = [](const char* format, const at::Tensor& t) {
    const double scale = static_cast<double>(
        static_cast<float>(find_float_format(format)->largest() / t.abs().max().item<double>()));
    return coded(format, t * scale, Overflow::kSaturate).to(at::kDouble) / scale;
  };
  const at::Tensor x8 = quantized("fp8_e4m3", x), w8 = quantized("fp8_e4m3", w),
                   g8 = quantized("fp8_e5m2", g);
  // Products of FP8 numbers are exact in FP32; only sums round.
  EXPECT_LT(relative_difference(got.y.detach(), at::linear(x8, w8, b.to(at::kDouble))), 1e-6);
  EXPECT_LT(relative_difference(got.x.grad(), at::mm(g8, w8)), 1e-6);
  EXPECT_LT(relative_difference(got.weight.grad(), at::mm(g8.t(), x8)), 1e-6);
  EXPECT_LT(relative_difference(got.bias.grad(), g.to(at::kDouble).sum(0)), 1e-6);
  // 3 bits of mantissa: a relative error of about 2^-5 a number, and no less.
  EXPECT_LT(relative_difference(x8, x), 0.04);
  EXPECT_GT(relative_difference(x8, x), 0.01);
}

TEST(Fp8, ZerosAndWhatIsNotFinite) {
  auto arithmetic = make_arithmetic("fp8");
  const at::Tensor w = at::ones({3, 4}), b = at::zeros({3}), g = at::ones({2, 3});
  EXPECT_EQ(run(*arithmetic, at::zeros({2, 4}), w, b, g).y.abs().max().item<float>(), 0);
  EXPECT_TRUE(arithmetic->take_overflows().empty());
  at::Tensor x = at::ones({2, 4});
  x[0][1] = INFINITY;
  const Graph got = run(*arithmetic, x, w, b, g);
  EXPECT_FALSE(std::isfinite(got.y[0][0].item<float>()));
  EXPECT_TRUE(std::isfinite(got.y[1][0].item<float>()));
  const auto reports = arithmetic->take_overflows();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].tensor, "input");
}

}  // namespace
}  // namespace penjing::train
