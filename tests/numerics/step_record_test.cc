#include "numerics/step_record.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "numerics/step_diagnosis.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

const FloatFormat& format(const char* name) {
  return *find_float_format(name);
}

TEST(RangeLoss, CountsByHand) {
  // FP16: 65519 rounds to 65504, 65520 to infinity; below 2^-24 is lost, 2^-24 is not.
  const std::vector<float> values = {65519, -65520, 1e6f, 0x1p-24f, 0x1.8p-25f, -0x1p-30f, 0, 1, INFINITY};
  const RangeLoss lost = range_loss(format("fp16"), values, 1);
  EXPECT_EQ(lost.overflows, 2);
  EXPECT_EQ(lost.underflows, 2);
  const RangeLoss scaled = range_loss(format("fp16"), values, 64);
  EXPECT_EQ(scaled.overflows, 3);
  EXPECT_EQ(scaled.underflows, 0);
  EXPECT_EQ(range_loss(format("bf16"), values, 1).overflows, 0);
  EXPECT_EQ(range_loss(format("bf16"), values, 1).underflows, 0);
  EXPECT_EQ(range_loss(format("fp8_e4m3"), values, 1).overflows, 3);
}

TEST(Swamping, IsWhereHalfTheSpacingIsNotReached) {
  // FP16 at 1: spacing 2^-10 above, so an update of 2^-11 is a tie and goes to even, 1. bf16: 2^-7, 2^-8.
  const auto swamped = [](const char* name, float weight, float update) {
    const std::vector<float> before = {weight}, after = {weight + update};
    return count_swamped(format(name), before, after);
  };
  EXPECT_EQ(swamped("fp16", 1, 0x1p-11f), 1);
  EXPECT_EQ(swamped("fp16", 1, 0x1.1p-11f), 0);
  EXPECT_EQ(swamped("fp16", 1, -0x1p-12f), 1);  // below 1 the spacing is 2^-11: a tie again, to 1
  EXPECT_EQ(swamped("fp16", 1, -0x1.1p-12f), 0);
  EXPECT_EQ(swamped("bf16", 1, 0x1p-8f), 1);
  EXPECT_EQ(swamped("bf16", 1, 0x1.1p-8f), 0);
  EXPECT_EQ(swamped("fp16", 1, 0), 0);         // no update
  EXPECT_EQ(swamped("fp16", 0, 0x1p-26f), 1);  // the update itself is lost
  EXPECT_EQ(swamped("fp16", 0, 0x1p-24f), 0);
}

// |w / u| > 2048 swamps in FP16 whatever the magnitudes (methods.md A3.2).
TEST(Swamping, AgreesWithExactArithmetic) {
  std::mt19937 engine(5);
  std::normal_distribution<float> normal(0, 1);
  for (const char* name : {"fp16", "bf16"}) {
    std::vector<float> before(3000), after(3000);
    int64_t expected = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
      before[i] = normal(engine) * 0.05f;
      after[i] = before[i] + normal(engine) * std::ldexp(1.0f, -static_cast<int>(i % 20));
      const auto rounded = [&](double x) {
        // Exact in double: to the nearest multiple of the spacing.
        if (x == 0) return 0.0;
        const double spacing = format(name).spacing(x);
        return std::nearbyint(x / spacing) * spacing;
      };
      const double w = rounded(before[i]), u = rounded(static_cast<double>(after[i] - before[i]));
      expected += after[i] != before[i] && rounded(w + u) == w ? 1 : 0;
    }
    EXPECT_EQ(count_swamped(format(name), before, after), expected) << name;
    EXPECT_GT(expected, 100);
    EXPECT_LT(expected, 2900);
  }
}

RecordedTensor recorded(const std::string& name, NumberRole role, const std::vector<float>& values,
                        double loss_scale = 1) {
  RecordedTensor t;
  t.name = name;
  t.layer = layer_of(name);
  t.role = role;
  t.histogram.add(values);
  for (std::size_t f = 0; f < kRecordedFormats.size(); ++f) {
    const FloatFormat& numbers = format(kRecordedFormats[f]);
    t.lost[f] = range_loss(numbers, values, recorded_scale(numbers, role, t.histogram.largest, loss_scale));
  }
  return t;
}

RecordedStep sample() {
  RecordedStep record;
  record.step = 12;
  record.precision = "fp32";
  record.loss_scale = 1024;
  record.tensors.push_back(recorded("embeddings.LayerNorm.out", NumberRole::kActivation, {1, -2, 0, 70000}));
  record.tensors.push_back(
      recorded("encoder.layer.0.output.dense.weight", NumberRole::kWeight, {0.1f, 1e-9f, 0.2f, 0.3f}));
  // Exponents -20 and -30: one in two below 2^-24; times 1024 none.
  record.tensors.push_back(recorded("encoder.layer.0.output.dense.weight", NumberRole::kWeightGradient,
                                    {0x1p-20f, 0x1p-30f, -0x1p-20f, 0x1.8p-30f}, 1024));
  record.tensors.push_back(
      recorded("encoder.layer.1.output.dense.weight", NumberRole::kWeightGradient, {0x1p-4f, 0.0f}, 1024));
  RecordedTensor update =
      recorded("encoder.layer.0.output.dense.weight", NumberRole::kUpdate, {1e-5f, 1e-6f, 1e-7f, 1e-8f});
  update.swamped = {3, 4};
  record.tensors.push_back(update);
  return record;
}

TEST(RecordedStep, JsonAndBack) {
  const RecordedStep record = sample();
  const Json json = record.to_json();
  const RecordedStep back = RecordedStep::from_json(Json::parse(json.dump(), "text"), "record");
  EXPECT_EQ(back.to_json().dump(), json.dump());
  EXPECT_EQ(back.tensors[4].swamped[1], 4);
  Json damaged = json;
  damaged.set("version", 2);
  EXPECT_NE(error_of([&] { RecordedStep::from_json(damaged, "record"); }).find("version 2"),
            std::string::npos);
  damaged = json;
  damaged.set("loss_scale", 0);
  EXPECT_NE(error_of([&] { RecordedStep::from_json(damaged, "record"); }).find("loss_scale is 0"),
            std::string::npos);
  damaged = json;
  damaged.find("tensors")->as_array("")[0].set("role", "colour");
  EXPECT_NE(error_of([&] { RecordedStep::from_json(damaged, "record"); }).find("unknown role \"colour\""),
            std::string::npos);
  damaged = json;
  damaged.find("tensors")->as_array("")[0].erase("lost");
  EXPECT_NE(error_of([&] {
              RecordedStep::from_json(damaged, "record");
            }).find("embeddings.LayerNorm.out: no \"lost\""),
            std::string::npos);
}

TEST(RecordedStep, LayersOfNames) {
  EXPECT_EQ(layer_of("encoder.layer.11.output.dense.out"), "11");
  EXPECT_EQ(layer_of("transformer.layer.3.ffn.lin1.weight"), "3");
  EXPECT_EQ(layer_of("embeddings.word_embeddings.weight"), "embeddings");
  EXPECT_EQ(layer_of("classifier.weight"), "head");
}

TEST(RecordedStep, TheLastOneIsReadUnlessAStepIsAskedFor) {
  const TestFolder folder("step-record");
  RecordedStep record = sample();
  for (const int64_t step : {3, 12, 9}) {
    record.step = step;
    write_step_record(folder.path(), record);
  }
  write_bytes(folder / "numerics" / "step-x.json", "{}");
  EXPECT_EQ(read_step_record(folder.path(), std::nullopt).step, 12);
  EXPECT_EQ(read_step_record(folder.path(), 3).step, 3);
  EXPECT_NE(error_of([&] { read_step_record(folder.path(), 4); }).find("there are 3, 9, 12"),
            std::string::npos);
  EXPECT_NE(error_of([&] { read_step_record(folder / "none", std::nullopt); }).find("no recorded step"),
            std::string::npos);
  write_bytes(folder / "numerics" / "step-20.json", "{");
  EXPECT_NE(error_of([&] { read_step_record(folder.path(), std::nullopt); }).find("step-20.json"),
            std::string::npos);
}

TEST(StepDiagnosis, SharesByLayerAndTheLossScale) {
  const StepDiagnosis d = diagnose(sample(), "fp16");
  ASSERT_EQ(d.layers.size(), 3u);
  EXPECT_EQ(d.layers[0].layer, "embeddings");
  EXPECT_EQ(d.layers[1].layer, "0");
  EXPECT_EQ(d.layers[2].layer, "1");
  EXPECT_EQ(d.layers[0].activation_overflow.lost, 1);
  EXPECT_EQ(d.layers[0].activation_overflow.of, 3);  // zeros are no numbers to lose
  EXPECT_DOUBLE_EQ(d.layers[1].weight_underflow.value(), 0.25);
  EXPECT_DOUBLE_EQ(d.layers[1].unscaled_underflow.value(), 0.5);
  EXPECT_EQ(d.layers[1].gradient_underflow.lost, 0);  // with the scale of the run, 1024
  EXPECT_DOUBLE_EQ(d.layers[1].swamped.value(), 0.75);
  // Layer 0: 2^-30 must reach 2^-24; 2^-20 * 2^35 = 2^15 fits, 2^16 does not. Layer 1: 2^-4, up to 2^19.
  EXPECT_EQ(d.layers[1].scale.least, 6);
  EXPECT_EQ(d.layers[1].scale.largest, 35);
  EXPECT_EQ(d.layers[2].scale.least, -20);
  EXPECT_EQ(d.layers[2].scale.largest, 19);
  EXPECT_EQ(d.total.scale.least, 6);
  EXPECT_EQ(d.total.scale.largest, 19);
  EXPECT_EQ(d.total.unscaled_underflow.of, 5);
  EXPECT_FALSE(d.layers[0].scale.least.has_value());
}

TEST(StepDiagnosis, OtherFormats) {
  const StepDiagnosis wide = diagnose(sample(), "bf16");
  EXPECT_EQ(wide.total.activation_overflow.lost, 0);
  EXPECT_EQ(wide.total.unscaled_underflow.lost, 0);
  EXPECT_EQ(wide.total.swamped.lost, 4);
  const StepDiagnosis narrow = diagnose(sample(), "fp8");
  EXPECT_FALSE(narrow.has_loss_scale);
  EXPECT_FALSE(narrow.has_swamping);
  EXPECT_EQ(narrow.total.activation_overflow.lost, 0);
  // 70000 becomes 448, so 1 becomes 0.0064 and 2 0.0128: E4M3 has nothing else below 2^-9 = 0.00195.
  EXPECT_EQ(narrow.total.activation_underflow.lost, 0);
  EXPECT_EQ(narrow.total.weight_underflow.lost, 1);  // 1e-9 beside 0.3
  EXPECT_NE(error_of([] { diagnose(sample(), "fp64"); }).find("there are fp16, bf16 and fp8"),
            std::string::npos);
}

// The largest scale accounts for the mantissa: 1.9999 * 2^15 is beyond 65504.
TEST(StepDiagnosis, LargestScaleKeepsTheLargestFinite) {
  RecordedStep record;
  record.tensors.push_back(recorded("classifier.weight", NumberRole::kWeightGradient, {1.9999f}));
  EXPECT_EQ(diagnose(record, "fp16").total.scale.largest, 14);
  record.tensors[0] = recorded("classifier.weight", NumberRole::kWeightGradient, {1.99f});
  EXPECT_EQ(diagnose(record, "fp16").total.scale.largest, 15);
}

}  // namespace
}  // namespace penjing
