#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "base/error.h"
#include "compress/method.h"
#include "numerics/float16.h"
#include "tests/model/tiny_bert.h"

namespace penjing {
namespace {

Model whole_tiny_bert() {
  Model model = tiny_bert();
  complete_model(model);
  return model;
}

Model quantize(const Model& model, const char* given, MethodReport* report = nullptr) {
  const Method& method = *find_method("quantize");
  MethodContext context;
  MethodReport own;
  return method.apply(model, resolve_params(method, Json::parse(given, "")), context,
                      report == nullptr ? own : *report);
}

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// q = clamp(round(w / s), +-127), s = max|w| of the row / 127.
void expect_quantized(const Model& model, const Model& original, const std::string& name) {
  const Tensor& tensor = model.tensors.at(name + ".weight");
  ASSERT_EQ(tensor.type, DType::kI8) << name;
  const Tensor& scale_tensor = model.tensors.at(name + ".weight_scale");
  EXPECT_EQ(scale_tensor.shape, (Shape{tensor.shape[0], 1})) << name;
  EXPECT_EQ(scale_tensor.type, DType::kF32);
  const auto codes = read_floats(tensor, name),
             values = read_floats(original.tensors.at(name + ".weight"), name);
  const auto scales = read_floats(scale_tensor, name);
  const auto columns = static_cast<std::size_t>(tensor.shape[1]);
  for (std::size_t row = 0; row < scales.size(); ++row) {
    float largest = 0;
    for (std::size_t c = 0; c < columns; ++c)
      largest = std::max(largest, std::abs(values[row * columns + c]));
    EXPECT_EQ(scales[row], largest / 127) << name;
    for (std::size_t c = 0; c < columns; ++c) {
      const float code = codes[row * columns + c], value = values[row * columns + c];
      EXPECT_LE(std::abs(code), 127) << name;
      EXPECT_LE(std::abs(value - scales[row] * code), 0.5001f * scales[row]) << name;
    }
  }
}

TEST(QuantizeInteger, CodesAndScales) {
  const Model original = whole_tiny_bert();
  MethodReport report;
  const Model model = quantize(original, "{}", &report);
  int linears = 0;
  for (const auto& [name, tensor] : original.tensors) {
    if (tensor.shape.size() != 2) {
      EXPECT_EQ(model.tensors.at(name).bytes.data(), tensor.bytes.data()) << name;  // not even copied
      continue;
    }
    expect_quantized(model, original, name.substr(0, name.rfind('.')));
    ++linears;
  }
  EXPECT_EQ(linears, 3 + 2 * 6);
  EXPECT_EQ(report.details.find("quantized_linear_layers")->as_int(""), 12);
}

TEST(QuantizeInteger, TheConfigIsThatOfCompressedTensors) {
  const Model model = quantize(whole_tiny_bert(), R"({"embeddings":"fp16"})");
  const char* wanted =
      R"({"quant_method":"compressed-tensors","format":"int-quantized","quantization_status":"compressed",)"
      R"("global_compression_ratio":null,"ignore":[],"kv_cache_scheme":null,"config_groups":{"group_0":)"
      R"({"targets":["Linear"],"weights":{"num_bits":8,"type":"int","symmetric":true,"strategy":"channel",)"
      R"("group_size":null,"dynamic":false,"actorder":null,"observer":"minmax","observer_kwargs":{}},)"
      R"("input_activations":{"num_bits":8,"type":"int","symmetric":false,"strategy":"token","dynamic":true},)"
      R"("output_activations":null}}})";
  EXPECT_EQ(model.config.find("quantization_config")->dump(), wanted);
  const Model weights = quantize(whole_tiny_bert(), R"({"scheme":"w8a16"})");
  const Json* groups = weights.config.find("quantization_config")->find("config_groups");
  EXPECT_TRUE(groups->find("group_0")->find("input_activations")->is_null());
  EXPECT_EQ(groups->find("group_1")->find("targets")->dump(), R"(["Embedding"])");
}

TEST(QuantizeInteger, EmbeddingsAsAsked) {
  const Model original = whole_tiny_bert();
  const std::string name = "embeddings.word_embeddings.weight";
  EXPECT_EQ(quantize(original, R"({"embeddings":"fp32"})").tensors.at(name).type, DType::kF32);
  const Model half = quantize(original, R"({"embeddings":"fp16"})");
  ASSERT_EQ(half.tensors.at(name).type, DType::kF16);
  const auto before = read_floats(original.tensors.at(name), ""),
             after = read_floats(half.tensors.at(name), "");
  for (std::size_t i = 0; i < before.size(); ++i)
    EXPECT_EQ(after[i], half_to_float(float_to_half(before[i])));
}

TEST(QuantizeInteger, ExclusionsByPattern) {
  const Model original = whole_tiny_bert();
  const Model model =
      quantize(original, R"({"exclude":["encoder.layer.0.*","*.output.dense","*word_embeddings"]})");
  const Json* ignore = model.config.find("quantization_config")->find("ignore");
  EXPECT_EQ(ignore->as_array("").size(), 6u + 2);
  for (const auto& [name, tensor] : original.tensors) {
    if (tensor.shape.size() != 2) continue;
    const bool kept = name.starts_with("encoder.layer.0.") ||
                      name.find(".output.dense") != std::string::npos ||
                      name.find("word_embeddings") != std::string::npos;
    EXPECT_EQ(model.tensors.at(name).type, kept ? DType::kF32 : DType::kI8) << name;
  }
  EXPECT_NE(error_of([&] {
              (void)quantize(original, R"({"exclude":["encoder.layer.9.*"]})");
            }).find("encoder.layer.9"),
            std::string::npos);
}

// Beside a head the class of the model names its modules with a prefix, and so must the ignore list.
TEST(QuantizeInteger, HeadsAreIgnoredByTheirStoredNames) {
  Model model = tiny_bert();
  Rng rng(2);
  for (const auto& [name, shape] :
       {std::pair<const char*, Shape>{"cls.predictions.transform.dense.weight", {8, 8}},
        {"cls.predictions.transform.dense.bias", {8}},
        {"cls.predictions.transform.LayerNorm.weight", {8}},
        {"cls.predictions.transform.LayerNorm.bias", {8}},
        {"cls.predictions.bias", {16}}}) {
    model.tensors.set(name, random_tensor(shape, rng));
  }
  complete_model(model);
  const Model small = quantize(model, R"({"exclude":["encoder.layer.1.output.dense"]})");
  EXPECT_EQ(
      small.config.find("quantization_config")->find("ignore")->dump(),
      R"(["cls.predictions.decoder","cls.predictions.transform.dense","bert.encoder.layer.1.output.dense"])");
  EXPECT_EQ(small.tensors.at("cls.predictions.transform.dense.weight").type, DType::kF32);
}

TEST(QuantizeInteger, SixteenBits) {
  const Model original = whole_tiny_bert();
  for (const char* scheme : {"bf16", "fp16"}) {
    const Model model =
        quantize(original, scheme[0] == 'b' ? R"({"scheme":"bf16"})" : R"({"scheme":"fp16"})");
    for (const auto& [name, tensor] : original.tensors) {
      const auto before = read_floats(tensor, name), after = read_floats(model.tensors.at(name), name);
      EXPECT_EQ(model.tensors.at(name).type, scheme[0] == 'b' ? DType::kBF16 : DType::kF16);
      for (std::size_t i = 0; i < before.size(); ++i) {
        ASSERT_EQ(after[i], scheme[0] == 'b' ? bfloat16_to_float(float_to_bfloat16(before[i]))
                                             : half_to_float(float_to_half(before[i])));
      }
    }
    EXPECT_EQ(model.config.find("torch_dtype")->as_string(""), scheme[0] == 'b' ? "bfloat16" : "float16");
    EXPECT_FALSE(model.config.contains("quantization_config"));
  }
  Model large = tiny_bert();
  std::vector<float> values(8, 1.0f);
  values[3] = 70000;
  large.tensors.set("embeddings.LayerNorm.weight", Tensor::from_floats({8}, values));
  complete_model(large);
  const std::string message = error_of([&] { (void)quantize(large, R"({"scheme":"fp16"})"); });
  EXPECT_NE(message.find("embeddings.LayerNorm.weight: element 3 is 70000"), std::string::npos) << message;
  (void)quantize(large, R"({"scheme":"bf16"})");
}

TEST(QuantizeInteger, WhatCannotBeQuantized) {
  Model model = tiny_bert();
  std::vector<float> values(8 * 8, 0.5f);
  values[9] = std::nanf("");
  model.tensors.set("encoder.layer.1.attention.self.value.weight", Tensor::from_floats({8, 8}, values));
  complete_model(model);
  for (const char* scheme : {R"({})", R"({"scheme":"bf16"})"}) {
    EXPECT_NE(
        error_of([&] { (void)quantize(model, scheme); }).find("encoder.layer.1.attention.self.value.weight"),
        std::string::npos);
  }
  const Model small = quantize(whole_tiny_bert(), "{}");
  EXPECT_NE(error_of([&] { (void)quantize(small, "{}"); }).find("quantized already"), std::string::npos);
}

// A row of zeros has scale 1 and stays zero.
TEST(QuantizeInteger, RowsOfZeros) {
  Model model = tiny_bert();
  model.tensors.set("encoder.layer.0.intermediate.dense.weight",
                    Tensor::from_floats({12, 8}, std::vector<float>(96, 0)));
  complete_model(model);
  const Model small = quantize(model, "{}");
  for (const float scale :
       read_floats(small.tensors.at("encoder.layer.0.intermediate.dense.weight_scale"), ""))
    EXPECT_EQ(scale, 1);
  for (const float code : read_floats(small.tensors.at("encoder.layer.0.intermediate.dense.weight"), ""))
    EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace penjing
