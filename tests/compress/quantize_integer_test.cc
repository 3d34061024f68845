#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "model/linear.h"
#include "numerics/float16.h"
#include "tests/compress/tiny_model.h"

namespace penjing {
namespace {

constexpr const char* kTables[] = {"embeddings.word_embeddings", "embeddings.position_embeddings",
                                   "embeddings.token_type_embeddings"};

bool is_table(const std::string& weight) {
  return std::any_of(std::begin(kTables), std::end(kTables),
                     [&](const char* table) { return weight == std::string(table) + ".weight"; });
}

bool is_encoder_linear(const std::string& name) {
  return name.starts_with("encoder.") && name.ends_with(".weight") && !name.ends_with("LayerNorm.weight");
}

// Codes in [-127, 127], scale = max|w| / 127 in FP32, |w - code * scale| <= scale / 2. The inverse and the
// product x * inverse are rounded, each by 2^-24 of at most 127: the last bound is that slack.
void expect_quantized(const Model& source, const Model& result, const std::string& name) {
  const Tensor& codes_tensor = result.tensors.at(name);
  ASSERT_EQ(codes_tensor.type, DType::kI8) << name;
  ASSERT_EQ(codes_tensor.shape, source.tensors.at(name).shape) << name;
  const int64_t rows = codes_tensor.shape[0];
  const auto columns = static_cast<std::size_t>(codes_tensor.shape[1]);
  const Tensor& scale_tensor = result.tensors.at(name + "_scale");
  ASSERT_EQ(scale_tensor.type, DType::kF32) << name;
  ASSERT_EQ(scale_tensor.shape, (Shape{rows, 1})) << name;
  const std::vector<float> weight = read_floats(source.tensors.at(name), name),
                           codes = read_floats(codes_tensor, name), scales = read_floats(scale_tensor, name);
  for (std::size_t row = 0; row < scales.size(); ++row) {
    float max_abs = 0, max_code = 0;
    for (std::size_t i = row * columns; i < (row + 1) * columns; ++i) {
      max_abs = std::max(max_abs, std::abs(weight[i]));
      max_code = std::max(max_code, std::abs(codes[i]));
      const double error = std::abs(double{weight[i]} - double{codes[i]} * double{scales[row]});
      EXPECT_LE(error, double{scales[row]} * (0.5 + 127 * 0x1p-22)) << name << " element " << i;
    }
    EXPECT_EQ(max_code, 127) << name << " row " << row;
    EXPECT_EQ(scales[row], max_abs / 127.0f) << name << " row " << row;
  }
}

TEST(Quantize, CodesScalesAndErrors) {
  const Model source = tiny_classifier();
  const Applied applied = apply_method("quantize", source);
  int linears = 0, tables = 0;
  for (const auto& [name, tensor] : source.tensors) {
    if (is_encoder_linear(name) || is_table(name)) {
      expect_quantized(source, applied.model, name);
      ++(is_table(name) ? tables : linears);
    } else {  // LayerNorm, biases, pooler, classifier: not even copied
      EXPECT_EQ(applied.model.tensors.at(name).bytes.data(), tensor.bytes.data()) << name;
    }
  }
  EXPECT_EQ(linears, 12);
  EXPECT_EQ(tables, 3);
  EXPECT_EQ(applied.model.tensors.size(), source.tensors.size() + 15);
  EXPECT_EQ(*applied.report.details.find("quantized_linear_layers"), Json(12));
  EXPECT_EQ(*applied.report.details.find("kept_in_float"), string_list({"classifier", "pooler.dense"}));
  const auto& query = std::get<AttentionSpec>(applied.model.description.blocks[0].part).query;
  EXPECT_EQ(resolve_linear(applied.model, query).activations,
            (ActivationScheme{ActivationScheme::Kind::kPerToken, false, 8}));
}

TEST(Quantize, TheSourceIsNotChanged) {
  const Model source = tiny_classifier();
  const Json config = source.config;
  (void)apply_method("quantize", source);
  EXPECT_EQ(source.config, config);
  for (const auto& [name, tensor] : source.tensors) EXPECT_EQ(tensor.type, DType::kF32) << name;
}

TEST(Quantize, ARowOfZerosAndTinyRowsStayFinite) {
  Model source = tiny_classifier();
  const std::string name = "encoder.layer.0.output.dense.weight";
  std::vector<float> values = read_floats(source.tensors.at(name), name);
  for (std::size_t i = 0; i < 12; ++i) values[i] = 0;
  for (std::size_t i = 12; i < 24; ++i) values[i] = 1e-41f;
  source.tensors.set(name, Tensor::from_floats({8, 12}, values));
  const Model result = apply_method("quantize", source).model;
  const std::vector<float> codes = read_floats(result.tensors.at(name), name),
                           scales = read_floats(result.tensors.at(name + "_scale"), name);
  for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(codes[i], 0);
  EXPECT_EQ(scales[0], 1);
  EXPECT_EQ(scales[1], 1);
}

TEST(Quantize, EmbeddingTablesAsAsked) {
  const Model source = tiny_classifier();
  for (const auto& [choice, type] :
       {std::pair{"int8", DType::kI8}, std::pair{"fp16", DType::kF16}, std::pair{"fp32", DType::kF32}}) {
    const Model result = apply_method("quantize", source, Json::object({{"embeddings", choice}})).model;
    const Json& groups = *result.config.find("quantization_config")->find("config_groups");
    EXPECT_EQ(groups.contains("group_1"), type == DType::kI8) << choice;
    for (const std::string table : kTables) {
      const std::string name = table + ".weight";
      EXPECT_EQ(result.tensors.at(name).type, type) << choice << " " << name;
      EXPECT_EQ(result.tensors.find(name + "_scale") != nullptr, type == DType::kI8) << choice << " " << name;
      if (type != DType::kF16) continue;
      const std::vector<float> before = read_floats(source.tensors.at(name), name),
                               after = read_floats(result.tensors.at(name), name);
      for (std::size_t i = 0; i < before.size(); ++i)
        EXPECT_EQ(after[i], half_to_float(float_to_half(before[i])));
    }
  }
}

TEST(Quantize, ExclusionByPattern) {
  const Model source = tiny_classifier();
  const Applied applied = apply_method(
      "quantize", source,
      Json::object({{"exclude", string_list({"encoder.layer.1.*", "*word_embeddings", "*.query"})}}));
  for (const auto& [name, tensor] : source.tensors) {
    if (!is_encoder_linear(name) && !is_table(name)) continue;
    const bool excluded = name.starts_with("encoder.layer.1.") ||
                          name.find("word_embeddings") != std::string::npos ||
                          name.find(".query.") != std::string::npos;
    EXPECT_EQ(applied.model.tensors.at(name).type, excluded ? DType::kF32 : DType::kI8) << name;
    EXPECT_EQ(applied.model.tensors.find(name + "_scale") == nullptr, excluded) << name;
    if (!excluded || is_table(name)) continue;
    const std::string module = name.substr(0, name.size() - std::string(".weight").size());
    const auto& kept = applied.report.details.find("kept_in_float")->as_array("kept_in_float");
    EXPECT_NE(std::find(kept.begin(), kept.end(), Json(module)), kept.end()) << module;
  }
  EXPECT_EQ(*applied.report.details.find("quantized_linear_layers"), Json(5));
}

// A pattern that matches nothing is a mistake, for every scheme; a module that stays in float anyway is not.
TEST(Quantize, AnExclusionThatMatchesNothingIsRefused) {
  const Model source = tiny_classifier();
  for (const char* scheme : {"w8a8", "w8a16", "bf16", "fp16"}) {
    const Error error = error_of([&] {
      (void)apply_method(
          "quantize", source,
          Json::object({{"scheme", scheme}, {"exclude", string_list({"*.dense", "encoder.layer.9.*"})}}));
    });
    EXPECT_EQ(error.kind(), ErrorKind::kInput) << scheme;
    EXPECT_TRUE(says(error, "\"encoder.layer.9.*\"")) << scheme << ": " << error.what();
    EXPECT_NO_THROW((void)apply_method(
        "quantize", source, Json::object({{"scheme", scheme}, {"exclude", string_list({"classifier"})}})))
        << scheme;
  }
}

// The whole of quantization_config, as the compressed-tensors library writes and reads it.
TEST(Quantize, ConfigHasTheCompressedTensorsForm) {
  const std::string weights =
      R"({"num_bits":8,"type":"int","symmetric":true,"strategy":"channel","group_size":null,"dynamic":false,)"
      R"("actorder":null,"observer":"minmax","observer_kwargs":{}})";
  const std::string head =
      R"(,"quantization_status":"compressed",)"
      R"("global_compression_ratio":null,"ignore":["classifier","bert.pooler.dense"],"kv_cache_scheme":null,)"
      R"("config_groups":{"group_0":{"targets":["Linear"],"weights":)" +
      weights;
  const auto activations = [](bool symmetric) {
    return fmt::format(R"({{"num_bits":8,"type":"int","symmetric":{},"strategy":"token","dynamic":true}})",
                       symmetric);
  };
  const std::string embeddings = R"(,"group_1":{"targets":["Embedding"],"weights":)" + weights +
                                 R"(,"input_activations":null,"output_activations":null})";
  const struct {
    const char *scheme, *activations, *embeddings;
    std::string wanted;
  } cases[] = {
      {"w8a8", "affine", "fp16", activations(false)},
      {"w8a8", "affine", "int8", activations(false)},
      {"w8a8", "symmetric", "fp32", activations(true)},
      {"w8a16", "affine", "int8", "null"},
  };
  for (const auto& c : cases) {
    const Model result = apply_method("quantize", tiny_classifier(),
                                      Json::object({{"scheme", c.scheme},
                                                    {"activations", c.activations},
                                                    {"embeddings", c.embeddings}}))
                             .model;
    // Other loaders expect weights without quantized activations to be packed.
    const std::string format = c.wanted == "null" ? "pack-quantized" : "int-quantized";
    const std::string wanted = R"({"quant_method":"compressed-tensors","format":")" + format + "\"" + head +
                               ",\"input_activations\":" + c.wanted + ",\"output_activations\":null}" +
                               (c.embeddings == std::string("int8") ? embeddings : "") + "}}";
    const Json* found = result.config.find("quantization_config");
    ASSERT_NE(found, nullptr) << c.scheme;
    EXPECT_EQ(found->dump(), wanted) << c.scheme << " " << c.activations << " " << c.embeddings;
    const ActivationScheme scheme = activation_scheme(result.config);
    EXPECT_EQ(scheme.kind == ActivationScheme::Kind::kNone, c.wanted == "null");
    EXPECT_EQ(scheme.symmetric, c.wanted != "null" && c.activations == std::string("symmetric"));
  }
}

// Beside a head the class of the model names its modules with a prefix, and so must the ignore list.
TEST(Quantize, HeadsAreIgnoredByTheirStoredNames) {
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
  const Json given = Json::object({{"exclude", string_list({"encoder.layer.1.output.dense"})}});
  const Model result = apply_method("quantize", model, given).model;
  EXPECT_EQ(
      result.config.find("quantization_config")->find("ignore")->dump(),
      R"(["cls.predictions.decoder","cls.predictions.transform.dense","bert.encoder.layer.1.output.dense"])");
  EXPECT_EQ(result.tensors.at("cls.predictions.transform.dense.weight").type, DType::kF32);
}

TEST(Quantize, CastsRoundToNearestEven) {
  for (const char* scheme : {"bf16", "fp16"}) {
    const bool bf16 = scheme == std::string("bf16");
    Model source = tiny_classifier();
    const Applied applied = apply_method(
        "quantize", source, Json::object({{"scheme", scheme}, {"exclude", string_list({"classifier"})}}));
    EXPECT_FALSE(applied.model.config.contains("quantization_config"));
    EXPECT_EQ(*applied.model.config.find("torch_dtype"), Json(bf16 ? "bfloat16" : "float16"));
    EXPECT_EQ(*applied.report.details.find("cast_tensors"),
              Json(static_cast<int64_t>(source.tensors.size()) - 2));
    for (const auto& [name, tensor] : source.tensors) {
      const Tensor& result = applied.model.tensors.at(name);
      if (name.starts_with("classifier.")) {
        EXPECT_EQ(result.type, DType::kF32);
        continue;
      }
      EXPECT_EQ(result.type, bf16 ? DType::kBF16 : DType::kF16) << name;
      const std::vector<float> before = read_floats(tensor, name), after = read_floats(result, name);
      for (std::size_t i = 0; i < before.size(); ++i) {
        EXPECT_EQ(after[i], bf16 ? bfloat16_to_float(float_to_bfloat16(before[i]))
                                 : half_to_float(float_to_half(before[i])));
      }
    }
  }
  Model newer = tiny_classifier();
  newer.config.set("dtype", "float32");
  const Model result = apply_method("quantize", newer, Json::object({{"scheme", "fp16"}})).model;
  EXPECT_EQ(*result.config.find("dtype"), Json("float16"));
  EXPECT_FALSE(result.config.contains("torch_dtype"));
}

void set_element(Model& model, const std::string& name, std::size_t index, float value) {
  std::vector<float> values = read_floats(model.tensors.at(name), name);
  values[index] = value;
  model.tensors.set(name, Tensor::from_floats(Shape(model.tensors.at(name).shape), values));
}

TEST(Quantize, ValuesBeyondTheFormatAreRefused) {
  const std::string name = "encoder.layer.1.intermediate.dense.weight";
  const auto cast_of = [&](const char* scheme, float value, const char* embeddings = "int8",
                           const std::string& tensor = "") {
    Model model = tiny_classifier();
    set_element(model, tensor.empty() ? name : tensor, 5, value);
    return error_of([&] {
      (void)apply_method("quantize", model, Json::object({{"scheme", scheme}, {"embeddings", embeddings}}));
    });
  };
  // 65504 is the largest fp16; 65520 is half a unit further and rounds to infinity.
  EXPECT_STREQ(cast_of("fp16", 65519.0f).what(), "");
  for (const float value : {65520.0f, -70000.0f, 1e30f}) {
    const Error error = cast_of("fp16", value);
    EXPECT_EQ(error.kind(), ErrorKind::kFormat);
    EXPECT_TRUE(says(error, name) && says(error, "element 5") && says(error, "65504")) << error.what();
  }
  EXPECT_STREQ(cast_of("bf16", 1e30f).what(), "");
  const Error error = cast_of("bf16", std::numeric_limits<float>::max());
  EXPECT_EQ(error.kind(), ErrorKind::kFormat);
  EXPECT_TRUE(says(error, name)) << error.what();
  const std::string table = "embeddings.word_embeddings.weight";
  EXPECT_TRUE(says(cast_of("w8a8", 1e6f, "fp16", table), table));
  EXPECT_STREQ(cast_of("w8a8", 1e6f, "int8", table).what(), "");
}

TEST(Quantize, NonFiniteWeightsAreNamed) {
  for (const char* scheme : {"w8a8", "w8a16", "bf16", "fp16"}) {
    for (const float value :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      for (const std::string name :
           {"encoder.layer.1.attention.self.key.weight", "encoder.layer.0.output.LayerNorm.bias"}) {
        Model model = tiny_classifier();
        set_element(model, name, 7, value);
        const Error error = error_of([&] {
          (void)apply_method("quantize", model, Json::object({{"scheme", scheme}}));
        });
        EXPECT_EQ(error.kind(), ErrorKind::kFormat) << scheme;
        EXPECT_TRUE(says(error, "tensor " + name + ": element 7")) << scheme << ": " << error.what();
      }
    }
  }
}

TEST(Quantize, AQuantizedModelIsRefused) {
  const Model once = apply_method("quantize", tiny_classifier()).model;
  for (const char* scheme : {"w8a8", "bf16"}) {
    const Error error = error_of([&] {
      (void)apply_method("quantize", once, Json::object({{"scheme", scheme}}));
    });
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_TRUE(says(error, "quantized already")) << error.what();
  }
  Model null_config = tiny_classifier();
  null_config.config.set("quantization_config", nullptr);
  EXPECT_NO_THROW((void)apply_method("quantize", null_config));
}

TEST(Quantize, ReadsHalfPrecisionSources) {
  const Model half = apply_method("quantize", tiny_classifier(), Json::object({{"scheme", "fp16"}})).model;
  const Model result = apply_method("quantize", half).model;
  for (const auto& [name, tensor] : half.tensors) {
    if (is_encoder_linear(name) || is_table(name)) expect_quantized(half, result, name);
  }
}

}  // namespace
}  // namespace penjing
