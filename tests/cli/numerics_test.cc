#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/json.h"
#include "cli/tensor_numerics.h"
#include "numerics/step_record.h"
#include "tests/base/test_folder.h"
#include "tests/cli/program_run.h"
#include "tests/cli/tiny_folder.h"

namespace penjing::cli {
namespace {

using testing::ProgramResult;
using testing::run_program;

Json json_of(const std::vector<std::string>& arguments) {
  const ProgramResult result = run_program({arguments});
  EXPECT_EQ(result.status, 0) << result.err;
  return Json::parse(result.out, "output");
}

TEST(NumericsCommand, ValueInEveryFormat) {
  const Json json = json_of({"numerics", "0.1", "65520", "1e-8", "nan", "0x1p-14", "--json"});
  const auto& values = json.find("values")->as_array("values");
  ASSERT_EQ(values.size(), 5u);
  const Json& half = *values[0].find("formats")->find("fp16");
  // 0.1 as a half is 0x2e66: NumPy's numpy.float16(0.1) = 0.0999755859375.
  EXPECT_EQ(half.find("bits")->as_string(""), "0 01011 1001100110");
  EXPECT_EQ(half.find("value")->as_double(""), 0.0999755859375);
  EXPECT_EQ(half.find("below")->as_double(""), 0.0999755859375 - 0x1p-14);
  EXPECT_EQ(half.find("ulp")->as_double(""), 0x1p-14);
  EXPECT_NEAR(half.find("relative_error")->as_double(""), 2.44140625e-4, 1e-12);
  EXPECT_EQ(values[1].find("formats")->find("fp16")->find("value")->as_string(""), "inf");
  EXPECT_EQ(values[1].find("formats")->find("fp8_e4m3")->find("value")->as_string(""), "nan");
  EXPECT_EQ(values[2].find("formats")->find("fp16")->find("value")->as_double(""), 0);
  EXPECT_EQ(values[3].find("formats")->find("bf16")->find("value")->as_string(""), "nan");
  EXPECT_EQ(values[4].find("input")->as_double(""), 0x1p-14);
  const Json cut = json_of({"numerics", "--json", "--saturate", "--rounding", "zero", "--", "-70000"});
  EXPECT_EQ(cut.find("values")->as_array("")[0].find("formats")->find("fp16")->find("value")->as_double(""),
            -65504);
}

TEST(NumericsCommand, WhatIsNoNumberIsRefused) {
  for (const char* text : {"abc", "1e999", "0x", "1.2.3", ""}) {
    const ProgramResult result = run_program({{"numerics", "--", text}});
    EXPECT_EQ(result.status, 2) << text;
  }
  EXPECT_EQ(run_program({{"numerics"}}).status, 2);
  EXPECT_EQ(run_program({{"numerics", "1", "--table"}}).status, 2);
}

TEST(NumericsCommand, DiagnosesARecordedStep) {
  const TestFolder folder("diagnose");
  RecordedStep record;
  record.step = 7;
  record.precision = "fp32";
  RecordedTensor gradient;
  gradient.name = "encoder.layer.0.output.dense.weight";
  gradient.layer = "0";
  gradient.role = NumberRole::kWeightGradient;
  const std::vector<float> values = {0x1p-10f, 0x1p-28f};
  gradient.histogram.add(values);
  gradient.lost[0] = range_loss(*find_float_format("fp16"), values, 1);
  record.tensors.push_back(gradient);
  write_step_record(folder.path(), record);
  const std::string run = folder.path().string();
  const Json json = json_of({"numerics", "--diagnose", run, "--json"});
  EXPECT_EQ(json.find("step")->as_int(""), 7);
  const Json& all = *json.find("all");
  EXPECT_EQ(all.find("gradient_underflow")->find("share")->as_double(""), 0.5);
  EXPECT_EQ(all.find("least_loss_scale")->as_double(""), 16);
  EXPECT_EQ(all.find("largest_loss_scale")->as_double(""), 0x1p25);
  const ProgramResult text = run_program({{"numerics", "--diagnose", run, "--step", "7"}});
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_NE(text.out.find("A loss scale of at least 2^4 keeps 99 %"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("50.00"), std::string::npos) << text.out;
  EXPECT_EQ(json_of({"numerics", "--diagnose", run, "--format", "bf16", "--json"})
                .find("all")
                ->find("gradient_underflow")
                ->find("lost")
                ->as_int(""),
            0);
  EXPECT_EQ(run_program({{"numerics", "--diagnose", run, "--step", "8"}}).status, 2);
  EXPECT_EQ(run_program({{"numerics", "--diagnose", run, "--format", "int8"}}).status, 2);
  EXPECT_EQ(run_program({{"numerics", "--diagnose", run, "--table"}}).status, 2);
  EXPECT_EQ(run_program({{"numerics", "--diagnose", (folder / "none").string()}}).status, 2);
}

// The table of the methods page (A2), to its digits.
TEST(NumericsCommand, Table) {
  const ProgramResult result = run_program({{"numerics", "--table"}});
  EXPECT_EQ(result.status, 0);
  for (const char* text : {"3.4028235e+38", "1.17549e-38", "1.4013e-45",  "1.19209e-07", "16,777,216",
                           "65504",         "6.10352e-05", "5.96046e-08", "0.000976562", "2,048",
                           "3.3895314e+38", "9.18355e-41", "0.0078125",   "256",         "3.4011621e+38",
                           "448",           "0.015625",    "0.00195312",  "57344",       "1.52588e-05"})
    EXPECT_NE(result.out.find(text), std::string::npos) << text << "\n" << result.out;
}

TEST(NumericsCommand, Tensor) {
  TestFolder folder("numerics");
  testing::write_tiny_folder(folder / "model", testing::TinyHead::kSentence);
  const std::string model = (folder / "model").string(), svg = (folder / "h.svg").string();
  const std::string name = "encoder.layer.0.attention.self.query.weight";
  const Json json = json_of({"numerics", "--tensor", model, name, "--json", "--svg", svg});
  EXPECT_EQ(json.find("count")->as_int(""), 32 * 32);
  EXPECT_GT(json.find("formats")->find("fp16")->find("snr_db")->as_double(""), 60);
  EXPECT_NE(read_bytes(svg).find("<rect x="), std::string::npos);
  EXPECT_NE(run_program({{"numerics", "--tensor", model, name}}).out.find("####"), std::string::npos);
  const ProgramResult wrong =
      run_program({{"numerics", "--tensor", model, "encoder.layer.0.attention.self.quer.weight"}});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_NE(wrong.err.find(name), std::string::npos);
}

TEST(TensorNumerics, CountsAndErrors) {
  const std::vector<float> values = {1.0f, -0.5f, 0.0f, 1e-9f, 70000.0f, 0x1p-20f, 3.0f, INFINITY};
  const TensorNumerics numerics = measure_tensor(values, 2, Rounding::kNearestEven, Overflow::kInfinity);
  EXPECT_EQ(numerics.zeros, 1);
  EXPECT_EQ(numerics.largest, 70000);
  EXPECT_EQ(numerics.exponents.at(0), 1);
  EXPECT_EQ(numerics.exponents.at(-20), 1);
  const auto effect = [&](const std::string& name) {
    for (const FormatEffect& e : numerics.effects) {
      if (e.name == name) return e;
    }
    ADD_FAILURE() << name;
    return FormatEffect();
  };
  EXPECT_EQ(effect("fp16").overflows, 1);
  EXPECT_EQ(effect("fp16").underflows, 1);
  EXPECT_EQ(effect("fp16").subnormals, 1);
  EXPECT_EQ(effect("fp32").max_error, 0);
  EXPECT_TRUE(std::isinf(effect("fp32").snr_db));
  EXPECT_EQ(effect("fp8_e4m3").overflows, 1);
  EXPECT_EQ(effect("fp8_e4m3 scaled").overflows, 0);
  // One scale: 70000 / 127 is the step, so all else becomes 0; a scale a row keeps the first row.
  EXPECT_EQ(effect("int8 by tensor").underflows, 5);
  EXPECT_EQ(effect("int8 by row").underflows, 3);
}

}  // namespace
}  // namespace penjing::cli
