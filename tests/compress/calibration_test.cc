#include "compress/calibration.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "compress/calibration_texts.h"
#include "compress/linear_quantization.h"
#include "compress/sensitivity.h"
#include "compress/smoothing.h"
#include "model/linear.h"
#include "tests/base/test_folder.h"
#include "tests/model/tiny_bert.h"

namespace penjing {
namespace {

constexpr int64_t kForwards = 5, kRows = 7;

// A run that shows made-up inputs of every linear layer: the same for those that read one value.
CalibrationRun fake_run() {
  return [](const Model& model, Tap& tap, std::size_t) {
    for (int64_t forward = 0; forward < kForwards; ++forward) {
      uint64_t stream = 0;
      for (const auto& group : linear_groups(model.description)) {
        Rng rng(100 + static_cast<uint64_t>(forward), stream++);
        const int64_t in = group.front().in;
        std::vector<float> rows(static_cast<std::size_t>(kRows * in));
        for (std::size_t i = 0; i < rows.size(); ++i) {
          const auto channel = static_cast<int64_t>(i) % in;
          rows[i] = rng.normal() * (channel == 3 ? 20.0f : 1.0f) + 0.5f;
        }
        for (const LinearSpec& spec : group) {
          if (tap.wants(spec.name + ".in")) tap.on(spec.name + ".in", 0, rows.data(), kRows, in);
        }
      }
    }
  };
}

Model whole_tiny_bert() {
  Model model = tiny_bert();
  complete_model(model);
  return model;
}

// All rows of a module's input that the run shows.
std::vector<std::vector<float>> rows_of(const Model& model, const std::string& module) {
  struct Rows : Tap {
    std::string site;
    std::vector<std::vector<float>> rows;
    bool wants(std::string_view name) override { return name == site; }
    void on(std::string_view, int, const float* values, int64_t count, int64_t dim) override {
      for (int64_t r = 0; r < count; ++r) rows.emplace_back(values + r * dim, values + (r + 1) * dim);
    }
  } tap;
  tap.site = module + ".in";
  fake_run()(model, tap, kAllTexts);
  return tap.rows;
}

TEST(Calibration, StatisticsByTheDefinition) {
  const Model model = whole_tiny_bert();
  const std::string module = "encoder.layer.1.output.dense";
  CalibrationRequest request;
  request.modules = {module};
  request.histograms = true;
  const SiteStatistics s = collect_statistics(model, fake_run(), request).at(module);
  const auto rows = rows_of(model, module);
  ASSERT_EQ(rows.size(), static_cast<std::size_t>(kForwards * kRows));
  EXPECT_EQ(s.num_rows, kForwards * kRows);
  float low = 1e9f, high = -1e9f, moving_low = 0, moving_high = 0;
  for (std::size_t c = 0; c < rows[0].size(); ++c) {
    float largest = 0;
    double sum = 0;
    for (const auto& row : rows) {
      largest = std::max(largest, std::abs(row[c]));
      sum += row[c];
      low = std::min(low, row[c]), high = std::max(high, row[c]);
    }
    EXPECT_EQ(s.channel_max_abs[c], largest);
    EXPECT_NEAR(s.channel_mean[c], sum / static_cast<double>(rows.size()), 1e-5);
  }
  for (std::size_t forward = 0; forward < kForwards; ++forward) {
    float l = 1e9f, h = -1e9f;
    for (std::size_t r = forward * kRows; r < (forward + 1) * kRows; ++r) {
      for (const float x : rows[r]) l = std::min(l, x), h = std::max(h, x);
    }
    moving_low = forward == 0 ? l : 0.99f * moving_low + 0.01f * l;
    moving_high = forward == 0 ? h : 0.99f * moving_high + 0.01f * h;
  }
  EXPECT_EQ(s.low, low);
  EXPECT_EQ(s.high, high);
  EXPECT_NEAR(s.moving_low, moving_low, 1e-4);
  EXPECT_NEAR(s.moving_high, moving_high, 1e-4);
  double total = 0;
  for (const double count : s.histogram) total += count;
  EXPECT_EQ(total, static_cast<double>(rows.size() * rows[0].size()));
}

TEST(Calibration, SecondMoments) {
  const Model model = whole_tiny_bert();
  const std::string module = "encoder.layer.0.attention.output.dense";
  CalibrationRequest request;
  request.modules = {module};
  const std::map<std::string, std::vector<float>> smooth = {{module, {1, 2, 0.5f, 4, 1, 1, 1, 8}}};
  for (const bool smoothed : {false, true}) {
    request.smooth = smoothed ? &smooth : nullptr;
    const auto moment = collect_second_moments(model, fake_run(), request).at(module);
    for (std::size_t i = 0; i < 8; ++i) {
      for (std::size_t j = 0; j < 8; ++j) {
        double sum = 0;
        for (const auto& row : rows_of(model, module)) sum += double{row[i]} * row[j];
        if (smoothed) sum /= smooth.at(module)[i] * smooth.at(module)[j];
        EXPECT_NEAR(moment[i * 8 + j], sum, 1e-4 * (std::abs(sum) + 1)) << i << " " << j;
      }
    }
  }
}

TEST(Calibration, StatisticsAreAFile) {
  const Model model = whole_tiny_bert();
  CalibrationRequest request;
  for (const auto& group : linear_groups(model.description)) request.modules.push_back(group.front().name);
  EXPECT_EQ(request.modules.size(), 8u);
  request.histograms = true;
  const Calibration statistics = collect_statistics(model, fake_run(), request);
  const TestFolder folder("statistics");
  write_statistics(folder / "s", statistics, "fake");
  const Calibration back = read_statistics(folder / "s");
  ASSERT_EQ(back.size(), statistics.size());
  for (const auto& [module, s] : statistics) {
    EXPECT_EQ(back.at(module).channel_max_abs, s.channel_max_abs);
    EXPECT_EQ(back.at(module).channel_mean, s.channel_mean);
    EXPECT_EQ(back.at(module).histogram, s.histogram);
    EXPECT_EQ(back.at(module).moving_high, s.moving_high);
  }
  // What follows from the file is what follows from the texts.
  LinearQuantization how;
  how.smooth = true;
  const auto from_texts = prepare_inputs(model, how, request.modules, fake_run(), {});
  const auto from_file = prepare_inputs(model, how, request.modules, nullptr, back);
  EXPECT_EQ(from_texts.smooth, from_file.smooth);
  how.static_range = true;
  EXPECT_NE(error_of([&] { (void)prepare_inputs(model, how, request.modules, nullptr, back); }).find("texts"),
            std::string::npos);
  write_bytes(folder / "t", "nonsense");
  EXPECT_NE(error_of([&] { (void)read_statistics(folder / "t"); }), "");
}

TEST(Calibration, NothingSeenIsSaid) {
  const Model model = whole_tiny_bert();
  CalibrationRequest request;
  request.modules = {"encoder.layer.0.output.dense"};
  EXPECT_NE(error_of([&] {
              (void)collect_statistics(
                  model, [](const Model&, Tap&, std::size_t) {}, request);
            }).find("no token"),
            std::string::npos);
}

// s_j = max|X_j|^a / max|W_j|^(1-a), and (x / s)(W s) = x W.
TEST(Smoothing, Factors) {
  const std::vector<float> inputs = {4, 0, 9, 1}, first = {1, 1, 1, 0, 2, -3, 0.25f, 0},
                           second = {0.5f, 1, -4, 0};
  const std::vector<GroupWeight> weights = {{first, 2}, {second, 1}};
  const auto half = smoothing_factors(inputs, weights, 0.5);
  EXPECT_FLOAT_EQ(half[0], std::sqrt(4.0f / 2.0f));
  EXPECT_FLOAT_EQ(half[1], 1);  // a channel that is never used
  EXPECT_FLOAT_EQ(half[2], std::sqrt(9.0f / 4.0f));
  EXPECT_FLOAT_EQ(half[3], 1);  // a column of zeros
  EXPECT_FLOAT_EQ(smoothing_factors(inputs, weights, 1.0)[0], 4);
  EXPECT_FLOAT_EQ(smoothing_factors(inputs, weights, 0.0)[2], 0.25f);
}

TEST(Smoothing, ActivationAwareIsNoWorseThanNone) {
  Rng rng(5);
  constexpr int64_t kOut = 8, kIn = 32;
  std::vector<float> weight(kOut * kIn), squares(kIn);
  for (float& w : weight) w = rng.normal();
  for (float& s : squares) s = std::exp(3 * rng.normal());
  RoundingRule rule;
  rule.range = kInt4;
  const auto factors = activation_aware_factors(squares, std::vector<GroupWeight>{{weight, kOut}}, rule);
  const auto error = [&](const std::vector<float>& s) {
    std::vector<float> scaled = weight;
    for (std::size_t i = 0; i < scaled.size(); ++i) scaled[i] *= s[i % kIn];
    const auto back = expand(round_to_nearest(scaled, kOut, kIn, rule), kOut, kIn);
    double sum = 0;
    for (std::size_t i = 0; i < back.size(); ++i)
      sum += squares[i % kIn] * std::pow(double{back[i]} / s[i % kIn] - weight[i], 2);
    return sum;
  };
  EXPECT_LT(error(factors), 0.8 * error(std::vector<float>(kIn, 1)));
}

TEST(LinearQuantization, EverythingTogetherIsAModelThatHoldsTogether) {
  const Model original = whole_tiny_bert();
  LinearQuantization how;
  how.smooth = how.smooth_everywhere = how.static_range = how.bias_correction = how.error_feedback = true;
  how.observer = Observer::kMse;
  how.activation_bits = 7;
  how.rounding.range = kInt7;
  std::vector<std::string> modules;
  for (const auto& group : linear_groups(original.description)) {
    for (const LinearSpec& spec : group) modules.push_back(spec.name);
  }
  const PreparedInputs inputs = prepare_inputs(original, how, modules, fake_run(), {});
  Model model = original;
  for (const auto& group : linear_groups(original.description)) {
    for (const LinearSpec& spec : group) quantize_linear(model, spec, how, inputs);
  }
  model.config.set(
      "quantization_config",
      Json::parse(
          R"({"quant_method":"penjing","config_groups":{"g":{"targets":["Linear"],"input_activations":)"
          R"({"dynamic":false,"strategy":"tensor","num_bits":7,"symmetric":false}}}})",
          ""));
  check_model(model, true);
  for (const auto& group : linear_groups(original.description)) {
    const auto first = read_floats(model.tensors.at(group.front().name + ".smooth"), "");
    for (const LinearSpec& spec : group) {
      const Linear linear = resolve_linear(model, spec);
      EXPECT_EQ(linear.activations, (ActivationScheme{ActivationScheme::Kind::kStatic, false, 7}));
      EXPECT_EQ(read_floats(linear.smooth, ""), first);  // one input, one vector: its codes are shared
      EXPECT_GE(linear.input_zero, 0);
      EXPECT_LE(linear.input_zero, 127);
      // The mean error of each output on the texts is taken into the bias.
      const auto rows = rows_of(original, spec.name);
      const auto before = read_floats(original.tensors.at(spec.name + ".weight"), ""),
                 after = dense_weight(linear);
      const auto old_bias = read_floats(original.tensors.at(spec.name + ".bias"), ""),
                 bias = read_floats(linear.bias, "");
      for (int64_t o = 0; o < spec.out; ++o) {
        double shift = 0;
        for (const auto& row : rows) {
          for (int64_t c = 0; c < spec.in; ++c) {
            const auto at = static_cast<std::size_t>(o * spec.in + c);
            shift += row[static_cast<std::size_t>(c)] * (double{after[at]} - before[at]);
          }
        }
        shift = shift / static_cast<double>(rows.size()) + bias[static_cast<std::size_t>(o)] -
                old_bias[static_cast<std::size_t>(o)];
        EXPECT_NEAR(shift, 0, 1e-4) << spec.name << " " << o;
      }
    }
  }
}

TEST(Sensitivity, OrdersByHarm) {
  // A run that shows as output the sum of a layer's weights: who is changed more, harms more.
  const Model model = whole_tiny_bert();
  const CalibrationRun run = [](const Model& subject, Tap& tap, std::size_t) {
    float rows[4] = {1, 2, 3, 4};
    for (const auto& [name, tensor] : subject.tensors) {
      if (name.ends_with("dense.bias")) rows[0] += read_floats(tensor, name)[0];
    }
    const std::string site = subject.description.blocks.back().norm.name + ".out";
    if (tap.wants(site)) tap.on(site, 1, rows, 2, 2);
  };
  const std::vector<std::string> modules = {"encoder.layer.0.output.dense", "encoder.layer.1.output.dense",
                                            "encoder.layer.0.intermediate.dense"};
  const auto harm = measure_sensitivity(model, modules, run, [&](Model& copy, const std::string& module) {
    std::vector<float> bias = read_floats(copy.tensors.at(module + ".bias"), module);
    bias[0] += module == modules[1] ? 3.0f : module == modules[2] ? 1.0f : 0.1f;
    copy.tensors.set(module + ".bias", Tensor::from_floats({static_cast<int64_t>(bias.size())}, bias));
  });
  ASSERT_EQ(harm.size(), 3u);
  EXPECT_EQ(harm[0].first, modules[1]);
  EXPECT_EQ(harm[1].first, modules[2]);
  EXPECT_GT(harm[0].second, harm[1].second);
}

TEST(CalibrationTexts, AreManyAndVaried) {
  const auto texts = builtin_calibration_texts();
  EXPECT_GE(texts.size(), 270u);
  std::size_t shortest = 1000, longest = 0;
  for (const std::string_view text : texts) {
    EXPECT_FALSE(text.empty());
    shortest = std::min(shortest, text.size()), longest = std::max(longest, text.size());
  }
  EXPECT_LT(shortest, 10u);
  EXPECT_GT(longest, 130u);
}

}  // namespace
}  // namespace penjing
