#include "model/model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "base/error.h"
#include "tests/model/tiny_bert.h"

namespace penjing {
namespace {

std::string error_of(const std::function<void()>& body, ErrorKind* kind = nullptr) {
  try {
    body();
  } catch (const Error& error) {
    if (kind != nullptr) *kind = error.kind();
    return error.what();
  }
  return "";
}

TEST(Model, ATinyBertIsWhole) {
  Model model = tiny_bert();
  complete_model(model);
  check_model(model, true);
  EXPECT_EQ(model.description.family, "bert");
  EXPECT_EQ(model.description.blocks.size(), 4u);
}

// What a config may say that no model can be: each is named with the key.
TEST(Model, HostileConfigs) {
  struct Case {
    const char* key;
    Json value;
    const char* message;  // in the error
  };
  const Case cases[] = {
      {"num_attention_heads", 0, "num_attention_heads is 0"},
      {"num_attention_heads", 3, "not a multiple of num_attention_heads 3"},
      {"num_attention_heads", -2, "num_attention_heads is -2"},
      {"num_attention_heads", "2", "num_attention_heads"},
      {"num_attention_heads", 2.5, "num_attention_heads"},
      {"hidden_size", 0, "hidden_size is 0"},
      {"hidden_size", int64_t{1} << 60, "hidden_size"},
      {"hidden_size", Json(), "hidden_size"},
      {"hidden_size", Json::array(), "hidden_size"},
      {"num_hidden_layers", 1000000000, "num_hidden_layers is 1000000000"},
      {"num_hidden_layers", -1, "num_hidden_layers"},
      {"num_hidden_layers", 3, "encoder.layer.2"},
      {"intermediate_size", 0, "intermediate_size is 0"},
      {"intermediate_size", 13, "encoder.layer.0.intermediate.dense"},
      {"vocab_size", 17, "word_embeddings"},
      {"vocab_size", int64_t{1} << 40, "vocab_size"},
      {"max_position_embeddings", 11, "position_embeddings"},
      {"type_vocab_size", 3, "token_type_embeddings"},
      {"hidden_act", "swiglu9", "swiglu9"},
      {"hidden_act", 7, "hidden_act"},
      {"layer_norm_eps", -1.0, "layer_norm_eps"},
      {"layer_norm_eps", "small", "layer_norm_eps"},
      {"position_embedding_type", "relative_key", "relative_key"},
      {"is_decoder", true, "is_decoder"},
      {"is_decoder", "yes", "is_decoder"},
      {"add_cross_attention", true, "add_cross_attention"},
      {"model_type", "gpt2", "gpt2"},
      {"model_type", 3, "model_type"},
      {"architectures", "BertModel", "architectures"},
      {"architectures", Json::object(), "architectures"},
      {"pruned_heads", Json::array(), "pruned_heads"},
      {"compression_config", 5, "compression_config"},
  };
  for (const Case& c : cases) {
    Model model = tiny_bert();
    model.config.set(c.key, c.value);
    const std::string message = error_of([&] { complete_model(model); });
    EXPECT_NE(message.find(c.message), std::string::npos)
        << c.key << " = " << c.value.dump() << ": \"" << message << "\"";
  }
  Model model = tiny_bert();
  model.config = Json::object();
  EXPECT_NE(error_of([&] { complete_model(model); }).find("model_type is missing"), std::string::npos);
  model = tiny_bert();
  model.config.set("model_type", "xlnet");
  EXPECT_NE(error_of([&] { complete_model(model); }).find("supported: bert, distilbert"), std::string::npos);
}

TEST(Model, LabelsWithHolesAreRefused) {
  const auto with_labels = [](Json labels) {
    Model model = tiny_bert();
    Rng rng(1);
    model.config.set("architectures", Json(Json::array()));
    Json list = Json::array();
    list.push_back("BertForSequenceClassification");
    model.config.set("architectures", list);
    model.config.set("id2label", std::move(labels));
    model.tensors.set("pooler.dense.weight", random_tensor({8, 8}, rng));
    model.tensors.set("pooler.dense.bias", random_tensor({8}, rng));
    model.tensors.set("classifier.weight", random_tensor({2, 8}, rng));
    model.tensors.set("classifier.bias", random_tensor({2}, rng));
    return model;
  };
  Model good = with_labels(Json::object({{"1", "yes"}, {"0", "no"}}));
  complete_model(good);
  EXPECT_EQ(good.id2label, (std::vector<std::string>{"no", "yes"}));
  for (const Json& labels :
       {Json::object({{"0", "a"}, {"2", "b"}}), Json::object({{"0", "a"}, {"x", "b"}}),
        Json::object({{"0", "a"}, {"-1", "b"}}), Json::object({{"0", "a"}, {"00", "b"}}),
        Json::object({{"0", "a"}, {"1", 7}}), Json::object({{"0", "a"}, {"18446744073709551616", "b"}})}) {
    Model model = with_labels(labels);
    EXPECT_NE(error_of([&] { complete_model(model); }).find("id2label"), std::string::npos) << labels.dump();
  }
}

TEST(Model, EveryTensorIsNeededAndOfItsShape) {
  const Model whole = tiny_bert();
  for (const auto& [name, tensor] : whole.tensors) {
    Model model = tiny_bert();
    model.tensors.erase(name);
    EXPECT_NE(error_of([&] { complete_model(model); }).find(name), std::string::npos) << name;
    model = tiny_bert();
    Rng rng(1);
    Shape shape = tensor.shape;
    shape.back() += 1;
    model.tensors.set(name, random_tensor(shape, rng));
    EXPECT_NE(error_of([&] { complete_model(model); }).find(name), std::string::npos) << name;
    model = tiny_bert();
    model.tensors.set(name,
                      Tensor::from_bytes(DType::kF8E4M3, tensor.shape,
                                         std::vector<std::byte>(static_cast<std::size_t>(tensor.size()))));
    ErrorKind kind{};
    EXPECT_NE(error_of([&] { complete_model(model); }, &kind).find(name), std::string::npos) << name;
    EXPECT_EQ(kind, ErrorKind::kUnsupported) << name;
  }
}

TEST(Model, NamesOfOtherWritersBecomeCanonical) {
  for (const char* prefix : {"bert.", "module.bert.", "module."}) {
    Model model = tiny_bert(prefix);
    complete_model(model);
    EXPECT_NE(model.tensors.find("encoder.layer.1.output.dense.weight"), nullptr) << prefix;
  }
  Model old = tiny_bert();
  for (const char* norm : {"embeddings.LayerNorm", "encoder.layer.0.output.LayerNorm"}) {
    const std::string name(norm);
    old.tensors.set(name + ".gamma", old.tensors.at(name + ".weight"));
    old.tensors.set(name + ".beta", old.tensors.at(name + ".bias"));
    old.tensors.erase(name + ".weight");
    old.tensors.erase(name + ".bias");
  }
  complete_model(old);
  EXPECT_NE(old.tensors.find("embeddings.LayerNorm.weight"), nullptr);
  // Both forms at once are two tensors for one place.
  Model both = tiny_bert();
  both.tensors.set("embeddings.LayerNorm.gamma", both.tensors.at("embeddings.LayerNorm.weight"));
  EXPECT_NE(error_of([&] { complete_model(both); }).find("embeddings.LayerNorm.weight"), std::string::npos);
  Model prefixed = tiny_bert();
  prefixed.tensors.set("bert.embeddings.LayerNorm.bias", prefixed.tensors.at("embeddings.LayerNorm.bias"));
  EXPECT_NE(error_of([&] { complete_model(prefixed); }).find("embeddings.LayerNorm.bias"), std::string::npos);
}

TEST(Model, WhatIsNotFiniteIsNamed) {
  for (const float value : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    Model model = tiny_bert();
    std::vector<float> values(64, 1.0f);
    values[37] = value;
    model.tensors.set("encoder.layer.1.attention.self.key.weight", Tensor::from_floats({8, 8}, values));
    complete_model(model);  // the structure is sound
    const std::string message = error_of([&] { check_model(model, true); });
    EXPECT_NE(message.find("encoder.layer.1.attention.self.key.weight"), std::string::npos) << message;
    EXPECT_NE(message.find("37"), std::string::npos) << message;
  }
  // A half that is infinite counts too.
  Model model = tiny_bert();
  std::vector<std::byte> halves(16, std::byte{0});
  halves[5] = std::byte{0x7c};
  model.tensors.set("embeddings.LayerNorm.bias", Tensor::from_bytes(DType::kF16, {8}, halves));
  complete_model(model);
  EXPECT_NE(error_of([&] { check_model(model, true); }).find("embeddings.LayerNorm.bias"), std::string::npos);
}

// compression_config.layers: widths by layer, 0 = the part is absent, and the block with it.
TEST(Model, WidthsByLayer) {
  Model model = tiny_bert();
  Rng rng(3);
  Json layers = Json::array();
  layers.push_back(Json::object({{"num_attention_heads", 1}, {"intermediate_size", 5}}));
  layers.push_back(Json::object({{"num_attention_heads", 0}, {"intermediate_size", 12}}));
  model.config.set("compression_config", Json::object({{"layers", layers}}));
  const std::string first = "encoder.layer.0.";
  for (const char* part : {"query", "key", "value"}) {
    model.tensors.set(first + "attention.self." + part + ".weight", random_tensor({4, 8}, rng));
    model.tensors.set(first + "attention.self." + part + ".bias", random_tensor({4}, rng));
  }
  model.tensors.set(first + "attention.output.dense.weight", random_tensor({8, 4}, rng));
  model.tensors.set(first + "intermediate.dense.weight", random_tensor({5, 8}, rng));
  model.tensors.set(first + "intermediate.dense.bias", random_tensor({5}, rng));
  model.tensors.set(first + "output.dense.weight", random_tensor({8, 5}, rng));
  complete_model(model);
  ASSERT_EQ(model.description.blocks.size(), 3u);
  const auto& attention = std::get<AttentionSpec>(model.description.blocks[0].part);
  EXPECT_EQ(attention.num_heads, 1);
  EXPECT_EQ(attention.head_dim, 4);  // that of the whole model
  EXPECT_EQ(std::get<FeedForwardSpec>(model.description.blocks[1].part).up.out, 5);
  EXPECT_EQ(model.description.blocks[2].kind(), BlockKind::kFeedForward);
  EXPECT_EQ(model.description.blocks[2].layer, 1);
  EXPECT_EQ(model.description.output, 3);

  layers.push_back(Json::object());
  model.config.set("compression_config", Json::object({{"layers", layers}}));
  EXPECT_NE(error_of([&] { complete_model(model); }).find("3 entries"), std::string::npos);
}

TEST(Model, PrunedHeads) {
  Model model = tiny_bert();
  Rng rng(3);
  Json heads = Json::array();
  heads.push_back(1);
  model.config.set("pruned_heads", Json::object({{"1", heads}}));
  for (const char* part : {"query", "key", "value"}) {
    model.tensors.set(std::string("encoder.layer.1.attention.self.") + part + ".weight",
                      random_tensor({4, 8}, rng));
    model.tensors.set(std::string("encoder.layer.1.attention.self.") + part + ".bias",
                      random_tensor({4}, rng));
  }
  model.tensors.set("encoder.layer.1.attention.output.dense.weight", random_tensor({8, 4}, rng));
  complete_model(model);
  EXPECT_EQ(std::get<AttentionSpec>(model.description.blocks[2].part).num_heads, 1);
  for (const int bad : {2, -1}) {
    Json list = Json::array();
    list.push_back(bad);
    model.config.set("pruned_heads", Json::object({{"1", list}}));
    EXPECT_NE(error_of([&] { complete_model(model); }).find("pruned_heads"), std::string::npos) << bad;
  }
  Json twice = Json::array();
  twice.push_back(0);
  twice.push_back(0);
  model.config.set("pruned_heads", Json::object({{"1", twice}}));
  EXPECT_NE(error_of([&] { complete_model(model); }).find("distinct"), std::string::npos);
}

// Weights of another writer with a zero point that is not 0 would compute wrong values.
TEST(Model, ZeroPointsOfWeightsAreRefused) {
  for (const char* name : {"embeddings.word_embeddings", "encoder.layer.0.output.dense"}) {
    for (const int zero : {0, 3}) {
      Model model = tiny_bert();
      const Shape shape = model.tensors.at(std::string(name) + ".weight").shape;
      const auto size = static_cast<std::size_t>(element_count(shape)),
                 rows = static_cast<std::size_t>(shape[0]);
      model.tensors.set(std::string(name) + ".weight",
                        Tensor::from_bytes(DType::kI8, shape, std::vector<std::byte>(size)));
      model.tensors.set(std::string(name) + ".weight_scale",
                        Tensor::from_floats({shape[0], 1}, std::vector<float>(rows, 0.5f)));
      model.tensors.set(
          std::string(name) + ".weight_zero_point",
          Tensor::from_bytes(DType::kI8, {shape[0], 1}, std::vector<std::byte>(rows, std::byte(zero))));
      const std::string message = error_of([&] { complete_model(model); });
      EXPECT_EQ(message.find("weight_zero_point") != std::string::npos, zero != 0) << name << ": " << message;
    }
  }
}

}  // namespace
}  // namespace penjing
