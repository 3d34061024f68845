#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "compress/method.h"
#include "tests/model/tiny_bert.h"

namespace penjing {
namespace {

Model run(const char* name, const Model& model, const char* given = "{}") {
  const Method& method = *find_method(name);
  MethodContext context;
  MethodReport report;
  return method.apply(model, resolve_params(method, Json::parse(given, "")), context, report);
}

// Exactly codes times scale: what the quantized model computes with.
TEST(Dequantize, ValuesAreCodesTimesScale) {
  Model original = tiny_bert();
  complete_model(original);
  const Model small = run("quantize", original), back = run("dequantize", small);
  EXPECT_FALSE(back.config.contains("quantization_config"));
  ASSERT_EQ(back.tensors.size(), original.tensors.size());
  for (const auto& [name, tensor] : original.tensors) {
    const Tensor& expanded = back.tensors.at(name);
    EXPECT_EQ(expanded.type, DType::kF32);
    EXPECT_EQ(expanded.shape, tensor.shape);
    const auto values = read_floats(expanded, name), codes = read_floats(small.tensors.at(name), name);
    if (tensor.shape.size() != 2) {
      EXPECT_EQ(values, read_floats(tensor, name)) << name;
      continue;
    }
    const auto scales = read_floats(small.tensors.at(name + "_scale"), name);
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(values[i], codes[i] * scales[i / static_cast<std::size_t>(tensor.shape[1])]) << name;
  }
  // Quantized once more, the codes are the same.
  const Model again = run("quantize", back);
  for (const auto& [name, tensor] : small.tensors) {
    if (tensor.type != DType::kI8) continue;
    EXPECT_EQ(read_floats(again.tensors.at(name), name), read_floats(tensor, name)) << name;
  }
}

TEST(Dequantize, HalvesBecomeFloats) {
  Model original = tiny_bert();
  complete_model(original);
  const Model half = run("quantize", original, R"({"scheme":"fp16"})"), back = run("dequantize", half);
  for (const auto& [name, tensor] : back.tensors) {
    EXPECT_EQ(tensor.type, DType::kF32);
    EXPECT_EQ(read_floats(tensor, name), read_floats(half.tensors.at(name), name));
  }
  EXPECT_EQ(back.config.find("torch_dtype")->as_string(""), "float32");
}

TEST(Dequantize, SchemesOfOthersAreRefusedByName) {
  for (const char* scheme : {"gptq", "awq", "bitsandbytes"}) {
    Model model = tiny_bert();
    complete_model(model);
    model.config.set("quantization_config", Json::object({{"quant_method", scheme}}));
    try {
      (void)run("dequantize", model);
      ADD_FAILURE() << scheme;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
      EXPECT_NE(std::string(error.what()).find(scheme), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace penjing
