#include "train/fake_quant.h"

#include <gtest/gtest.h>

#include <cmath>

#include "compress/calibration.h"
#include "model/linear.h"
#include "runtime/engine.h"
#include "tests/compress/tiny_model.h"
#include "tests/model/mobilebert_reference.h"
#include "train/fake_quant_attention.h"

namespace penjing::train {
namespace {

at::Tensor random_rows(int64_t rows, int64_t columns, uint64_t seed, float spread = 1) {
  Rng rng(seed);
  at::Tensor x = at::empty({rows, columns}, at::kFloat);
  for (int64_t i = 0; i < x.numel(); ++i) x.data_ptr<float>()[i] = spread * rng.normal();
  return x;
}

at::Tensor leaf(const at::Tensor& x) {
  at::Tensor copy = x.clone();
  copy.set_requires_grad(true);
  return copy;
}

float value_of(const at::Tensor& x, int64_t row, int64_t column) {
  return x[row][column].item<float>();
}

TEST(FakeQuant, RowsHaveTheValuesOfTheQuantizer) {
  const at::Tensor x = random_rows(9, 33, 1);
  for (const bool symmetric : {false, true}) {
    const IntegerRange range = symmetric ? kInt8 : kUint8;
    const at::Tensor rows = leaf(x), whole = leaf(x);
    const at::Tensor by_row = fake_quantize_rows(rows, range, symmetric);
    const at::Tensor by_tensor = fake_quantize_tensor(whole, range, symmetric);
    for (int64_t r = 0; r < 9; ++r) {
      const auto params = [&](const at::Tensor& part) {
        const float low = part.min().item<float>(), high = part.max().item<float>();
        return symmetric ? symmetric_params(std::max(-low, high), range) : affine_params(low, high, range);
      };
      for (int64_t c = 0; c < 33; ++c) {
        const float v = value_of(x, r, c);
        const QuantParams row = params(x[r]), all = params(x);
        EXPECT_EQ(value_of(by_row, r, c), dequantize_value(quantize_value(v, row, range), row));
        EXPECT_EQ(value_of(by_tensor, r, c), dequantize_value(quantize_value(v, all, range), all));
      }
    }
    // Straight through: nothing is clamped.
    const at::Tensor g = random_rows(9, 33, 2);
    torch::autograd::backward({by_row, by_tensor}, {g, g});
    EXPECT_TRUE(at::equal(rows.grad(), g));
    EXPECT_TRUE(at::equal(whole.grad(), g));
  }
}

TEST(FakeQuant, ARowThatIsNotFiniteIsLostAndOthersAreNot) {
  at::Tensor x = random_rows(3, 8, 1);
  x[1][2] = INFINITY;
  const at::Tensor y = fake_quantize_rows(x, kUint8, false);
  EXPECT_TRUE(y[1].isnan().all().item<bool>());
  EXPECT_TRUE(y[0].isfinite().all().item<bool>());
  EXPECT_TRUE(y[2].isfinite().all().item<bool>());
}

TEST(FakeQuant, GradientStopsWhereValuesAreClamped) {
  const QuantParams params = affine_params(-1, 2, kUint8);
  const float half = params.scale / 2;
  at::Tensor values =
      at::tensor({-1.5f, -1.0f, 0.0f, 1.0f, 2.0f, 2.0f + half * 0.9f, 2.0f + half * 1.1f, 3.0f})
          .reshape({1, 8});
  const at::Tensor x = leaf(values);
  const at::Tensor y = fake_quantize_fixed(x, kUint8, params);
  torch::autograd::backward({y}, {at::full({1, 8}, 5.0f)});
  for (int64_t c = 0; c < 8; ++c) {
    const float v = value_of(values, 0, c);
    EXPECT_EQ(value_of(y, 0, c), dequantize_value(quantize_value(v, params, kUint8), params));
    const float code = std::nearbyint(v * params.inverse) + static_cast<float>(params.zero_point);
    EXPECT_EQ(x.grad()[0][c].item<float>(), code >= 0 && code <= 255 ? 5 : 0) << v;
  }
  EXPECT_EQ(x.grad()[0][0].item<float>(), 0);
  EXPECT_EQ(x.grad()[0][2].item<float>(), 5);
  EXPECT_EQ(x.grad()[0][7].item<float>(), 0);
}

TEST(FakeQuant, LearnedScaleHasThePapersGradient) {
  for (const bool per_row : {false, true}) {
    for (const int32_t zero_point : {0, 40}) {
      const IntegerRange range = zero_point == 0 ? kInt7 : kUint7;
      const at::Tensor values = random_rows(4, 50, 3), g = random_rows(4, 50, 4);
      const at::Tensor x = leaf(values),
                       s = leaf(per_row ? at::tensor({0.02f, 0.03f, 0.05f, 0.001f}).reshape({4, 1})
                                        : at::tensor({0.017f}));
      const double factor = 0.125;
      const at::Tensor y = fake_quantize_learned(x, s, range, zero_point, factor, "s");
      torch::autograd::backward({y}, {g});
      std::vector<double> want(static_cast<std::size_t>(s.numel()), 0);
      const double low = range.min - zero_point, high = range.max - zero_point;
      int clamped = 0;
      for (int64_t r = 0; r < 4; ++r) {
        const double scale = static_cast<double>(s.detach().reshape({-1})[per_row ? r : 0].item<float>());
        for (int64_t c = 0; c < 50; ++c) {
          // Equations 1 to 3 of the paper.
          const double v = static_cast<double>(value_of(values, r, c)) / scale;
          const bool inside = low < v && v < high;
          clamped += inside ? 0 : 1;
          const double slope = inside ? std::nearbyint(v) - v : v <= low ? low : high;
          want[static_cast<std::size_t>(per_row ? r : 0)] +=
              static_cast<double>(value_of(g, r, c)) * slope * factor;
          EXPECT_EQ(value_of(x.grad(), r, c), inside ? value_of(g, r, c) : 0);
          EXPECT_NEAR(static_cast<double>(value_of(y, r, c)),
                      scale * std::clamp(std::nearbyint(v), low, high), 1e-5);
        }
      }
      EXPECT_GT(clamped, 10);
      EXPECT_LT(clamped, 190);
      for (int64_t i = 0; i < s.numel(); ++i)
        EXPECT_NEAR(s.grad().reshape({-1})[i].item<double>(), want[static_cast<std::size_t>(i)],
                    2e-4 * (1 + std::abs(want[static_cast<std::size_t>(i)])));
    }
  }
}

// Near a scale s0 rounding is taken as adding a constant (straight through) and who is clamped as given:
//   x^(s) = s (x / s + r), r = round(x / s0) - x / s0, inside; s times the bound outside.
TEST(FakeQuant, LearnedScaleAgainstFiniteDifferences) {
  const at::Tensor x = random_rows(3, 20, 8), g = random_rows(3, 20, 9);
  const auto s0 = static_cast<double>(0.15f);
  const auto loss = [&](double scale) {
    double sum = 0;
    for (int64_t i = 0; i < x.numel(); ++i) {
      const double value = static_cast<double>(x.data_ptr<float>()[i]), v = value / s0;
      const double rounding = std::nearbyint(v) - v;
      const double code = v >= 7 ? 7 : v <= -7 ? -7 : value / scale + rounding;
      sum += static_cast<double>(g.data_ptr<float>()[i]) * scale * code;
    }
    return sum;
  };
  const double want = (loss(s0 + 1e-6) - loss(s0 - 1e-6)) / 2e-6;
  const at::Tensor scale = leaf(at::tensor({0.15f}));
  torch::autograd::backward({fake_quantize_learned(x, scale, kInt4, 0, 1, "s")}, {g});
  EXPECT_NEAR(scale.grad().item<double>(), want, 1e-4 * (1 + std::abs(want)));
}

TEST(FakeQuant, LearnsAScaleThatFitsBetter) {
  const at::Tensor w = random_rows(1, 4000, 5);
  at::Tensor scale = leaf(at::tensor({1.5f}));
  const auto error = [&] {
    return (fake_quantize_learned(w, scale, kInt4, 0, 1.0 / std::sqrt(4000.0 * 7), "s") - w).square().sum();
  };
  const double before = error().item<double>();
  for (int step = 0; step < 300; ++step) {
    scale.mutable_grad() = at::Tensor();
    error().backward();
    const at::NoGradGuard guard;
    scale.sub_(scale.grad(), 0.005);
  }
  EXPECT_LT(error().item<double>(), before / 10);
  EXPECT_NEAR(scale.item<float>(), 0.335, 0.05);  // the least squared error of 15 levels on a normal: 0.335
}

TEST(FakeQuant, ScaleMustBePositive) {
  const at::Tensor x = random_rows(2, 3, 1);
  try {
    (void)fake_quantize_learned(x, at::tensor({-0.1f}), kInt8, 0, 1, "layer.weight_scale");
    FAIL();
  } catch (const Error& e) {
    EXPECT_TRUE(says(e, "layer.weight_scale: -0.1"));
  }
}

TEST(FakeQuant, Schemes) {
  FakeQuantSettings settings;
  set_scheme(settings, "w7a7");
  EXPECT_EQ(settings.weight_bits, 7);
  EXPECT_EQ(settings.activation_bits, 7);
  set_scheme(settings, "w8a16");
  EXPECT_EQ(settings.activation_bits, 0);
  EXPECT_THROW(set_scheme(settings, "w2a2"), Error);
}

RaggedBatch some_batch() {
  RaggedBatch batch;
  batch.append(std::vector<int32_t>{2, 5, 7, 3, 11});
  batch.append(std::vector<int32_t>{2, 9, 3});
  batch.append(std::vector<int32_t>{1, 14, 15, 6, 8, 10, 3});
  return batch;
}

// What the runtime shows at each site.
struct Sites : Tap {
  std::map<std::string, std::vector<float>> rows;
  bool wants(std::string_view) override { return true; }
  void on(std::string_view site, int, const float* values, int64_t num_rows, int64_t dim) override {
    rows[std::string(site)] = std::vector<float>(values, values + num_rows * dim);
  }
};

// The model with its parameters stored, then as integers.
Model quantized(const LinearFakeQuantizer& quantizer, const Parameters& parameters, Model model) {
  store_parameters(parameters, model);
  return quantizer.quantized(model);
}

struct Setting {
  const char* name;
  FakeQuantSettings settings;
};
std::vector<Setting> all_settings() {
  std::vector<Setting> list;
  for (const char* scheme : {"w8a8", "w7a8", "w7a7"}) {
    for (const bool symmetric : {false, true}) {
      for (const ActivationRange range :
           {ActivationRange::kPerToken, ActivationRange::kMovingAverage, ActivationRange::kLearned}) {
        FakeQuantSettings s;
        set_scheme(s, scheme);
        s.symmetric = symmetric;
        s.activations = range;
        s.weight_learned = range == ActivationRange::kLearned;
        list.push_back({scheme, s});
      }
    }
  }
  FakeQuantSettings tensor;
  tensor.weight_per_channel = false;
  list.push_back({"w8a8 by tensor", tensor});
  tensor.weight_learned = true;
  list.push_back({"w8a8 by tensor, learned", tensor});
  FakeQuantSettings excluded;
  excluded.exclude = {"encoder.layer.1.output.dense"};
  list.push_back({"w8a8 without a layer", excluded});
  return list;
}

class Export : public ::testing::TestWithParam<std::size_t> {};

// Trains a few steps, stores, and compares: the codes of every weight, and for each layer fed with the
// runtime's own input the integer product and the runtime's output, bit for bit.
TEST_P(Export, StoredIntegersAndProductsAreTheRuntimes) {
  const Setting setting = all_settings()[GetParam()];
  SCOPED_TRACE(setting.name);
  const Model model = tiny_classifier();
  Parameters parameters = load_parameters(model);
  LinearFakeQuantizer quantizer(model.description, parameters, setting.settings);
  const Encoder encoder(model.description, parameters);
  auto arithmetic = make_arithmetic("fp32");
  ForwardContext context;
  context.arithmetic = arithmetic.get();
  context.quantizer = &quantizer;
  const PackedBatch batch = pack(some_batch(), {0, 1, 2});
  const at::Tensor goal = random_rows(batch.num_tokens(), 8, 21);
  double first = 0, last = 0;
  for (int step = 0; step < 20; ++step) {
    parameters.zero_gradients();
    const at::Tensor loss = (encoder.forward(batch, context) - goal).square().mean();
    (step == 0 ? first : last) = loss.item<double>();
    loss.backward();
    const at::NoGradGuard guard;
    for (const auto& entry : parameters) {
      at::Tensor tensor = entry.tensor;
      const bool is_scale = entry.name.ends_with("_scale");
      if (tensor.grad().defined()) tensor.sub_(tensor.grad(), is_scale ? 1e-4 : 0.05);
    }
  }
  EXPECT_LT(last, first);
  quantizer.set_training(false);
  const Model stored = quantized(quantizer, parameters, model);
  const at::NoGradGuard no_gradient;

  Sites sites;
  (void)Engine::build(stored)
      ->new_session(std::make_shared<ThreadPool>(1))
      ->predict(some_batch(), {.kind = OutputKind::kHidden, .tap = &sites});
  int quantized = 0;
  for (const LinearSpec& spec : encoder_linears(model.description)) {
    SCOPED_TRACE(spec.name);
    const Linear linear = resolve_linear(stored, spec);
    const at::Tensor w = parameters.at(spec.name + ".weight");
    const at::Tensor fake = quantizer.weight(spec.name, w).detach();
    if (linear.kind != LinearKind::kQuantized) {
      EXPECT_TRUE(at::equal(fake, w.detach()));
      continue;
    }
    ++quantized;
    const auto* codes = reinterpret_cast<const int8_t*>(linear.weight.bytes.data());
    const std::vector<float> scales = read_floats(linear.scale, "scale");
    for (int64_t n = 0; n < spec.out; ++n) {
      for (int64_t k = 0; k < spec.in; ++k) {
        ASSERT_EQ(value_of(fake, n, k),
                  scales[static_cast<std::size_t>(n)] * static_cast<float>(codes[n * spec.in + k]))
            << n << " " << k;
      }
    }
    const std::vector<float>& in = sites.rows.at(spec.name + ".in");
    const std::vector<float>& out = sites.rows.at(spec.name + ".out");
    const int64_t tokens = batch.num_tokens();
    at::Tensor x = at::empty({tokens, spec.in}, at::kFloat);
    std::copy(in.begin(), in.end(), x.data_ptr<float>());
    const at::Tensor fake_x = quantizer.input(spec.name, x).detach();
    const at::Tensor bias = parameters.at(spec.name + ".bias").detach();
    const at::Tensor exact = quantizer.product(spec.name, x, w, bias);
    ASSERT_TRUE(exact.defined());
    for (int64_t t = 0; t < tokens; ++t) {
      // The token's scale: all its values are multiples of it, and codes follow from it.
      float scale = linear.input_scale;
      if (setting.settings.activations == ActivationRange::kPerToken) {
        const float low = x[t].min().item<float>(), high = x[t].max().item<float>();
        const int32_t largest = (1 << setting.settings.activation_bits) - 1;
        scale = setting.settings.symmetric
                    ? symmetric_params(std::max(-low, high), {-largest / 2, largest / 2}).scale
                    : affine_params(low, high, {0, largest}).scale;
      }
      for (int64_t n = 0; n < spec.out; ++n) {
        int32_t sum = 0;
        for (int64_t k = 0; k < spec.in; ++k) {
          const float code = std::nearbyint(value_of(fake_x, t, k) / scale);
          ASSERT_EQ(value_of(fake_x, t, k), scale * code);
          sum += static_cast<int32_t>(code) * codes[n * spec.in + k];
        }
        const float want =
            static_cast<float>(sum) * (scale * scales[static_cast<std::size_t>(n)]) + bias[n].item<float>();
        ASSERT_EQ(want, out[static_cast<std::size_t>(t * spec.out + n)]) << t << " " << n;
        ASSERT_EQ(want, value_of(exact, t, n)) << t << " " << n;
      }
    }
  }
  EXPECT_EQ(quantized, setting.settings.exclude.empty() ? 12 : 11);
}

INSTANTIATE_TEST_SUITE_P(Settings, Export, ::testing::Range<std::size_t>(0, all_settings().size()));

// Embeddings, products, attention, norms and activations: without gradient a forward is the runtime's, bit
// for bit.
void expect_the_runtimes_forward(const Model& model, const std::string& last) {
  for (const char* scheme : {"w8a8", "w7a7"}) {
    FakeQuantSettings settings;
    set_scheme(settings, scheme);
    Parameters parameters = load_parameters(model);
    LinearFakeQuantizer quantizer(model.description, parameters, settings);
    const Model stored = quantized(quantizer, parameters, model);
    EXPECT_EQ(stored.config.find("compression_config")->find("attention")->as_string(""), "int8");
    const Encoder encoder(model.description, parameters);
    auto arithmetic = make_arithmetic("fp32");
    ForwardContext context;
    context.arithmetic = arithmetic.get();
    context.quantizer = &quantizer;
    const PackedBatch batch = pack(some_batch(), {0, 1, 2});
    const auto distance = [&](const at::Tensor& hidden) {
      Sites sites;
      (void)Engine::build(stored)
          ->new_session(std::make_shared<ThreadPool>(1))
          ->predict(some_batch(), {.kind = OutputKind::kHidden, .tap = &sites});
      const std::vector<float>& want = sites.rows.at(last);
      const at::Tensor rows = hidden.detach().contiguous();
      double difference = 0, size = 0;
      for (int64_t i = 0; i < rows.numel(); ++i) {
        const double w = want[static_cast<std::size_t>(i)];
        difference += std::pow(rows.data_ptr<float>()[i] - w, 2);
        size += w * w;
      }
      return std::sqrt(difference / size);
    };
    quantizer.set_training(false);
    const at::NoGradGuard guard;
    const double with = distance(encoder.forward(batch, context));
    context.quantizer = nullptr;
    const double without = distance(encoder.forward(batch, context));
    EXPECT_EQ(with, 0) << scheme;
    EXPECT_GT(without, 1e-4) << scheme;  // what quantization does
  }
}

TEST(FakeQuant, AForwardIsTheRuntimes) {
  expect_the_runtimes_forward(tiny_classifier(), "encoder.layer.1.output.out");
  Model mobile = penjing::testing::tiny_mobilebert("student");
  complete_model(mobile);
  expect_the_runtimes_forward(mobile, "encoder.layer.1.output.bottleneck.out");
}

TEST(FakeQuant, AttentionInIntegersHasGradients) {
  const std::vector<int64_t> offsets = {0, 5, 6, 13}, samples = {3, 4, 9};
  const AttentionShape shape = {2, 8, 0.35f, 0};
  const at::Tensor q = leaf(random_rows(13, 16, 1)), k = leaf(random_rows(13, 16, 2)),
                   v = leaf(random_rows(13, 16, 3));
  const at::Tensor plain_q = leaf(q.detach()), plain_k = leaf(k.detach()), plain_v = leaf(v.detach());
  const at::Tensor g = random_rows(13, 16, 4);
  const at::Tensor rounded =
      attention_in_integers(q, k, v, offsets, samples, shape, at::Tensor(), {}, nullptr);
  const at::Tensor plain =
      attention(plain_q, plain_k, plain_v, offsets, samples, shape, at::Tensor(), {}, nullptr);
  rounded.backward(g);
  plain.backward(g);
  const auto relative = [](const at::Tensor& a, const at::Tensor& b) {
    return ((a - b).norm() / b.norm()).item<double>();
  };
  EXPECT_LT(relative(rounded.detach(), plain.detach()), 0.02);
  EXPECT_GT(relative(rounded.detach(), plain.detach()), 1e-4);
  for (const auto& [x, y] : {std::pair{q, plain_q}, {k, plain_k}, {v, plain_v}}) {
    EXPECT_LT(relative(x.grad(), y.grad()), 0.05);
  }
}

TEST(FakeQuant, MinMaxWeightsAreThoseOfQuantizeAfterTraining) {
  const Model model = tiny_classifier();
  Parameters parameters = load_parameters(model);
  LinearFakeQuantizer quantizer(model.description, parameters, {});
  const Model stored = quantized(quantizer, parameters, model);
  const Applied plain = apply_method("quantize", model);
  for (const auto& [name, tensor] : plain.model.tensors) {
    const Tensor* other = stored.tensors.find(name);
    ASSERT_NE(other, nullptr) << name;
    EXPECT_TRUE(
        std::equal(tensor.bytes.begin(), tensor.bytes.end(), other->bytes.begin(), other->bytes.end()))
        << name;
  }
  EXPECT_EQ(plain.model.config, stored.config);
}

TEST(FakeQuant, RangesMoveAndAreRestored) {
  const Model model = tiny_classifier();
  Parameters parameters = load_parameters(model), again = load_parameters(model);
  FakeQuantSettings settings;
  settings.activations = ActivationRange::kMovingAverage;
  LinearFakeQuantizer quantizer(model.description, parameters, settings);
  const std::string layer = "encoder.layer.0.output.dense";
  EXPECT_THROW(quantized(quantizer, parameters, model), Error);  // nothing seen
  (void)quantizer.input(layer, at::tensor({-1.0f, 2.0f}).reshape({1, 2}));
  (void)quantizer.input(layer, at::tensor({-3.0f, 1.0f}).reshape({1, 2}));
  const auto low_of = [&](const LinearFakeQuantizer& q) {
    return q.state().find("ranges")->find(layer)->find("low")->as_double("");
  };
  EXPECT_FLOAT_EQ(static_cast<float>(low_of(quantizer)), -1 + 0.01f * (-3 + 1));
  quantizer.set_training(false);
  (void)quantizer.input(layer, at::tensor({-9.0f, 9.0f}).reshape({1, 2}));
  EXPECT_FLOAT_EQ(static_cast<float>(low_of(quantizer)), -1.02f);
  LinearFakeQuantizer resumed(model.description, again, settings);
  resumed.restore(Json::parse(quantizer.state().dump(), "state"));
  EXPECT_EQ(resumed.state(), quantizer.state());
  resumed.set_training(false);
  const at::Tensor x = random_rows(2, 12, 3);
  EXPECT_TRUE(at::equal(resumed.input(layer, x), quantizer.input(layer, x)));
  EXPECT_THROW(resumed.restore(Json::object()), Error);
}

}  // namespace
}  // namespace penjing::train
