#include <gtest/gtest.h>

#include <bit>

#include "model/linear.h"
#include "tests/compress/tiny_model.h"

namespace penjing {
namespace {

// Every expanded element is exactly code * scale, one FP32 product.
TEST(Dequantize, ValuesAreCodesTimesScales) {
  const Model quantized = apply_method("quantize", tiny_classifier()).model;
  const Applied applied = apply_method("dequantize", quantized);
  int64_t expanded = 0;
  for (const auto& [name, tensor] : quantized.tensors) {
    if (name.ends_with("_scale")) {
      EXPECT_EQ(applied.model.tensors.find(name), nullptr) << name;
      continue;
    }
    const Tensor& result = applied.model.tensors.at(name);
    EXPECT_EQ(result.type, DType::kF32) << name;
    EXPECT_EQ(result.shape, tensor.shape) << name;
    const std::vector<float> values = read_floats(result, name), codes = read_floats(tensor, name);
    if (tensor.type != DType::kI8) {
      EXPECT_EQ(values, codes) << name;
      continue;
    }
    ++expanded;
    const std::vector<float> scales = read_floats(quantized.tensors.at(name + "_scale"), name);
    const auto columns = static_cast<std::size_t>(tensor.shape[1]);
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), std::bit_cast<uint32_t>(codes[i] * scales[i / columns]))
          << name << " element " << i;
    }
  }
  EXPECT_EQ(expanded, 15);  // two layers of six products, three embedding tables
  EXPECT_EQ(*applied.report.details.find("expanded_tensors"), Json(expanded));
  EXPECT_FALSE(applied.model.config.contains("quantization_config"));
}

// The quantized model's own weights (model/linear.h) are the expanded ones: it computes with the same values.
TEST(Dequantize, AgreesWithTheWeightsThatTheRuntimeReads) {
  const Model quantized = apply_method("quantize", tiny_classifier()).model;
  const Model expanded = apply_method("dequantize", quantized).model;
  const auto& spec = std::get<AttentionSpec>(quantized.description.blocks[0].part).query;
  EXPECT_EQ(dense_weight(resolve_linear(quantized, spec)), dense_weight(resolve_linear(expanded, spec)));
}

// Codes are found again from the expanded values: quantizing once more changes no code, and a scale by the
// rounding of max / 127 only.
TEST(Dequantize, QuantizingAgainGivesTheSameCodes) {
  const Model once = apply_method("quantize", tiny_classifier()).model;
  const Model twice = apply_method("quantize", apply_method("dequantize", once).model).model;
  for (const auto& [name, tensor] : once.tensors) {
    if (tensor.type != DType::kI8) continue;
    EXPECT_EQ(read_floats(tensor, name), read_floats(twice.tensors.at(name), name)) << name;
  }
}

TEST(Dequantize, CastsBackAndNamesFloat32) {
  for (const char* scheme : {"bf16", "fp16"}) {
    Model source = tiny_classifier();
    source.config.set("torch_dtype", "float32");
    const Model half = apply_method("quantize", source, Json::object({{"scheme", scheme}})).model;
    const Model full = apply_method("dequantize", half).model;
    EXPECT_EQ(*full.config.find("torch_dtype"), Json("float32"));
    for (const auto& [name, tensor] : half.tensors) {
      EXPECT_EQ(full.tensors.at(name).type, DType::kF32) << name;
      EXPECT_EQ(read_floats(full.tensors.at(name), name), read_floats(tensor, name)) << name;
    }
  }
}

TEST(Dequantize, LeavesTensorsThatAreNoNumbersOfTheModelAlone) {
  Model model = tiny_classifier();
  const std::byte ids[16] = {};
  model.tensors.set("embeddings.position_ids",
                    Tensor::from_bytes(DType::kI64, {1, 2}, {std::begin(ids), std::end(ids)}));
  EXPECT_EQ(apply_method("dequantize", model).model.tensors.at("embeddings.position_ids").type, DType::kI64);
}

TEST(Dequantize, RefusesFormsItDoesNotKnowByName) {
  Error error(ErrorKind::kInternal, "");
  for (const char* scheme : {"gptq", "awq", "bitsandbytes"}) {
    Model model = tiny_classifier();
    model.config.set("quantization_config", Json::object({{"quant_method", scheme}}));
    error = error_of([&] { (void)apply_method("dequantize", model); });
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_TRUE(says(error, scheme)) << error.what();
  }

  Model packed = tiny_classifier();
  packed.tensors.set("encoder.layer.0.output.dense.weight_packed", Tensor::from_floats({1}, {{0.0f}}));
  error = error_of([&] { (void)apply_method("dequantize", packed); });
  EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
  EXPECT_TRUE(says(error, "encoder.layer.0.output.dense.weight_packed")) << error.what();

  Model grouped = apply_method("quantize", tiny_classifier()).model;
  const std::string name = "encoder.layer.1.output.dense.weight_scale";
  grouped.tensors.set(name, Tensor::from_floats({8, 2}, std::vector<float>(16, 0.1f)));
  error = error_of([&] { (void)apply_method("dequantize", grouped); });
  EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
  EXPECT_TRUE(says(error, "encoder.layer.1.output.dense.weight")) << error.what();

  // An affine weight would come out wrong if its zero point were dropped.
  Model affine = apply_method("quantize", tiny_classifier()).model;
  const std::string table = "embeddings.word_embeddings.weight_zero_point";
  affine.tensors.set(table, Tensor::from_floats({16, 1}, std::vector<float>(16, 3.0f)));
  error = error_of([&] { (void)apply_method("dequantize", affine); });
  EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
  EXPECT_TRUE(says(error, table)) << error.what();
}

}  // namespace
}  // namespace penjing
