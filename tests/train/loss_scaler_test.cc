#include "train/loss_scaler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace penjing::train {
namespace {

// torch.cuda.amp.GradScaler's rule (torch/amp/grad_scaler.py, _amp_update_scale_), written out.
struct GradScalerRule {
  double scale = 65536;
  int64_t interval, tracker = 0;
  void step(bool found_inf) {
    if (found_inf) {
      scale *= 0.5;
      tracker = 0;
    } else if (tracker + 1 == interval) {
      scale *= 2;
      tracker = 0;
    } else {
      ++tracker;
    }
  }
};

// deepspeed/runtime/fp16/loss_scaler.py, DynamicLossScaler.update_scale, written out.
struct DeepSpeedRule {
  double scale = 65536, minimum = 1;
  int64_t window, delayed_shift = 2, hysteresis = 2, iteration = 0, last_overflow = -1;
  bool consecutive = false;
  void step(bool overflow) {
    if (overflow) {
      if (delayed_shift == 1 || hysteresis == 1) {
        scale = std::max(scale / 2, minimum);
      } else {
        --hysteresis;
      }
      last_overflow = iteration;
    } else {
      if (consecutive) hysteresis = delayed_shift;
      if ((iteration - last_overflow) % window == 0) {
        if (!consecutive) hysteresis = delayed_shift;
        scale *= 2;
      }
    }
    ++iteration;
  }
};

// A mixture of good and bad steps, bad in runs.
bool overflows_at(int step) {
  const int phase = step * 7919 % 101;
  return phase < 3 || (step % 257 > 250);
}

TEST(LossScaler, FollowsPyTorchStepByStep) {
  LossScaling scaling = LossScaling::pytorch();
  EXPECT_EQ(scaling.initial, 65536);
  EXPECT_EQ(scaling.interval, 2000);
  scaling.interval = 13;
  LossScaler scaler(scaling);
  GradScalerRule rule{.interval = 13};
  int64_t skipped = 0;
  for (int step = 0; step < 2000; ++step) {
    const bool overflow = overflows_at(step);
    scaler.update(!overflow);
    rule.step(overflow);
    skipped += overflow ? 1 : 0;
    ASSERT_EQ(scaler.scale(), rule.scale) << step;
  }
  EXPECT_EQ(scaler.skipped_steps(), skipped);
}

TEST(LossScaler, FollowsDeepSpeedStepByStep) {
  for (const bool consecutive : {false, true}) {
    LossScaling scaling = LossScaling::deepspeed();
    EXPECT_EQ(scaling.interval, 1000);
    EXPECT_EQ(scaling.hysteresis, 2);
    EXPECT_EQ(scaling.minimum, 1);
    scaling.interval = 11;
    scaling.consecutive = consecutive;
    LossScaler scaler(scaling);
    DeepSpeedRule rule{.window = 11, .consecutive = consecutive};
    for (int step = 0; step < 2000; ++step) {
      const bool overflow = overflows_at(step);
      scaler.update(!overflow);
      rule.step(overflow);
      ASSERT_EQ(scaler.scale(), rule.scale) << step;
    }
  }
}

TEST(LossScaler, GrowsAfterTwoThousandStepsAndNoSooner) {
  LossScaler scaler(LossScaling::pytorch());
  for (int step = 0; step < 1999; ++step) scaler.update(true);
  EXPECT_EQ(scaler.scale(), 65536);
  scaler.update(true);
  EXPECT_EQ(scaler.scale(), 131072);
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 65536);
}

TEST(LossScaler, StopsAtTheMinimum) {
  LossScaling scaling = LossScaling::deepspeed();
  scaling.initial = 4;
  scaling.hysteresis = 1;
  LossScaler scaler(scaling);
  scaler.update(false);
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 1);
  EXPECT_THROW(scaler.update(false), Error);
}

TEST(LossScaler, StaticScaleStays) {
  LossScaler scaler(LossScaling::fixed(1024));
  for (int step = 0; step < 5000; ++step) scaler.update(step % 2 == 0);
  EXPECT_EQ(scaler.scale(), 1024);
  EXPECT_EQ(scaler.skipped_steps(), 2500);
}

TEST(LossScaler, RestoresExactly) {
  LossScaling scaling = LossScaling::deepspeed();
  scaling.interval = 9;
  scaling.growth = 1.7;
  scaling.backoff = 0.3;
  LossScaler straight(scaling), first(scaling);
  for (int step = 0; step < 100; ++step) {
    straight.update(!overflows_at(step));
    first.update(!overflows_at(step));
  }
  LossScaler resumed(scaling);
  resumed.restore(Json::parse(first.state().dump(), "state"));
  for (int step = 100; step < 300; ++step) {
    straight.update(!overflows_at(step));
    resumed.update(!overflows_at(step));
    ASSERT_EQ(straight.scale(), resumed.scale()) << step;
  }
  EXPECT_EQ(straight.state(), resumed.state());
  EXPECT_THROW(resumed.restore(Json::object({{"scale", -1.0}})), Error);
  EXPECT_THROW(resumed.restore(Json::object()), Error);
}

TEST(LossScaler, RefusesBadOptions) {
  for (const auto change :
       {+[](LossScaling& s) { s.initial = 0; }, +[](LossScaling& s) { s.backoff = 1; },
        +[](LossScaling& s) { s.growth = 0.5; }, +[](LossScaling& s) { s.interval = 0; },
        +[](LossScaling& s) { s.hysteresis = 0; }, +[](LossScaling& s) { s.minimum = 1e9; }}) {
    LossScaling scaling;
    change(scaling);
    EXPECT_THROW(LossScaler{scaling}, Error);
  }
  EXPECT_EQ(parse_loss_scaling("none").initial, 1);
  EXPECT_FALSE(parse_loss_scaling("none").dynamic);
  EXPECT_EQ(parse_loss_scaling("1024").initial, 1024);
  EXPECT_EQ(parse_loss_scaling("deepspeed").hysteresis, 2);
  EXPECT_TRUE(parse_loss_scaling("dynamic").dynamic);
  for (const char* wrong : {"", "-1", "0", "often", "1x", "inf", "nan"})
    EXPECT_THROW(parse_loss_scaling(wrong), Error) << wrong;
}

Parameters with_gradients() {
  Parameters parameters;
  for (const char* name : {"layer.0.weight", "layer.1.weight", "classifier.weight"}) {
    parameters.add(name, at::ones({300, 200}));
    at::Tensor gradient = at::full({300, 200}, 6.0f);
    const_cast<at::Tensor&>(parameters.at(name)).mutable_grad() = gradient;
  }
  parameters.add("unused.bias", at::ones({4}));
  return parameters;
}

TEST(LossScaler, DividesGradientsByTheScale) {
  Parameters parameters = with_gradients();
  LossScaler scaler(LossScaling::fixed(4));
  const auto verdict = scaler.unscale_and_check(parameters);
  EXPECT_TRUE(verdict.finite);
  EXPECT_TRUE(verdict.reports.empty());
  EXPECT_TRUE((parameters.at("layer.1.weight").grad() == 1.5).all().item<bool>());
  EXPECT_FALSE(parameters.at("unused.bias").grad().defined());
}

TEST(LossScaler, NamesTheTensorsLastLayerFirst) {
  Parameters parameters = with_gradients();
  parameters.at("layer.0.weight").grad()[299][199] = std::numeric_limits<float>::infinity();
  parameters.at("layer.1.weight").grad()[0][0] = std::numeric_limits<float>::quiet_NaN();
  LossScaler scaler(LossScaling::fixed(4));
  const auto verdict = scaler.unscale_and_check(parameters);
  EXPECT_FALSE(verdict.finite);
  ASSERT_EQ(verdict.reports.size(), 2u);
  EXPECT_EQ(verdict.reports[0].site, "layer.1.weight");
  EXPECT_EQ(verdict.reports[0].histogram.nans, 1);
  EXPECT_EQ(verdict.reports[1].site, "layer.0.weight");
  EXPECT_EQ(verdict.reports[1].histogram.infinities, 1);
  // 6 lies in [2^2, 2^3): the gradient with its scale, not 1.5.
  EXPECT_EQ(verdict.reports[1].histogram.highest(), 2);
  EXPECT_EQ(verdict.reports[1].histogram.numbers(), 300 * 200 - 1);
  EXPECT_NE(verdict.reports[1].text().find("1 of 60000 values not finite"), std::string::npos);
}

TEST(LossScaler, SitesOfTheArithmeticComeFirst) {
  auto arithmetic = make_arithmetic("fp16");
  Parameters parameters;
  parameters.add("layer.weight", at::full({3, 4}, 100.0f));
  at::Tensor x = at::ones({2, 4});
  const at::Tensor y = arithmetic->linear(x, parameters.at("layer.weight"), at::Tensor(), "layer");
  LossScaler scaler(LossScaling::pytorch());
  torch::autograd::backward({y.sum() * scaler.scale()}, {});
  const auto verdict = scaler.unscale_and_check(parameters, arithmetic.get());
  EXPECT_FALSE(verdict.finite);  // 65536 is no FP16 number
  ASSERT_GE(verdict.reports.size(), 2u);
  EXPECT_EQ(verdict.reports[0].site, "layer");
  EXPECT_EQ(verdict.reports[0].tensor, "gradient of output");
  EXPECT_EQ(verdict.reports[0].histogram.highest(), 16);
  EXPECT_EQ(verdict.reports.back().site, "layer.weight");
  // A scale that fits.
  scaler.update(false);
  scaler.update(false);
  parameters.zero_gradients();
  const at::Tensor again = arithmetic->linear(x, parameters.at("layer.weight"), at::Tensor(), "layer");
  torch::autograd::backward({again.sum() * scaler.scale()}, {});
  EXPECT_TRUE(scaler.unscale_and_check(parameters, arithmetic.get()).finite);
  EXPECT_EQ(parameters.at("layer.weight").grad()[0][0].item<float>(), 2);
}

}  // namespace
}  // namespace penjing::train
