#include <gtest/gtest.h>

#include "base/error.h"
#include "model/architectures.h"
#include "model/cost.h"
#include "model/linear.h"
#include "model/new_model.h"
#include "tests/model/mobilebert_reference.h"

namespace penjing {
namespace {

using testing::kMobileBertShapes;
using testing::tiny_mobilebert;

std::string refusal(Model model) {
  try {
    complete_model(model);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

Model completed(const std::string& shape, bool classifies = false) {
  Model model = tiny_mobilebert(shape, classifies);
  complete_model(model);
  return model;
}

std::vector<std::string> block_names(const Description& d) {
  std::vector<std::string> names;
  for (const Block& block : d.blocks) names.push_back(block.name);
  return names;
}

TEST(MobileBert, BlocksOfTheStudent) {
  const Model model = completed("student");
  const Description& d = model.description;
  EXPECT_EQ(d.family, "mobilebert");
  EXPECT_TRUE(d.embedding.trigram && d.embedding.projects_words && d.embedding.has_projection);
  EXPECT_EQ(d.embedding.projection.in, 24);  // three rows of 8
  EXPECT_EQ(d.embedding.table_width(), 28);
  EXPECT_EQ(d.embedding.norm.kind, NormKind::kAffine);
  ASSERT_EQ(d.blocks.size(), 14u);
  const std::vector<std::string> names = block_names(d);
  EXPECT_EQ(std::vector(names.begin(), names.begin() + 7),
            (std::vector<std::string>{"encoder.layer.0.bottleneck.attention",
                                      "encoder.layer.0.bottleneck.input", "encoder.layer.0.attention",
                                      "encoder.layer.0.ffn.0.output", "encoder.layer.0.ffn.1.output",
                                      "encoder.layer.0.output", "encoder.layer.0.output.bottleneck"}));
  const Block& attention = d.blocks[9];  // of layer 1, which reads value 7
  const auto& spec = std::get<AttentionSpec>(attention.part);
  EXPECT_EQ(attention.input, 7);
  EXPECT_EQ(attention.residual, 9);
  EXPECT_EQ(spec.query_key_input, 8);
  EXPECT_EQ(spec.query.in, 12);
  EXPECT_EQ(spec.value.in, 28);
  EXPECT_EQ(spec.head_dim, 6);
  EXPECT_EQ(d.blocks[13].residual, 7);
  EXPECT_EQ(d.output, 14);
}

TEST(MobileBert, BlocksOfTheTeacherAndWithoutBottlenecks) {
  const Description teacher = completed("teacher").description;
  EXPECT_EQ(block_names(teacher),
            (std::vector<std::string>{"encoder.layer.0.bottleneck.input", "encoder.layer.0.attention",
                                      "encoder.layer.0.output", "encoder.layer.0.output.bottleneck"}));
  const auto& spec = std::get<AttentionSpec>(teacher.blocks[1].part);
  EXPECT_EQ(teacher.blocks[1].input, 1);
  EXPECT_EQ(spec.query_key_input, kNoValue);
  EXPECT_EQ(spec.value.in, 32);
  EXPECT_EQ(teacher.embedding.norm.kind, NormKind::kLayerNorm);
  const Description plain = completed("plain").description;
  EXPECT_EQ(block_names(plain),
            (std::vector<std::string>{"encoder.layer.0.attention", "encoder.layer.0.ffn.0.output",
                                      "encoder.layer.0.output"}));
  EXPECT_EQ(plain.embedding.projection.in, 8);
  EXPECT_FALSE(plain.embedding.trigram);
}

// transformers drops out behind the last product of a layer and nowhere else where there are bottlenecks.
TEST(MobileBert, DropoutIsWhereTransformersHasIt) {
  for (const char* shape : {"student", "teacher"}) {
    for (const Block& block : completed(shape).description.blocks)
      EXPECT_EQ(block.has_dropout, block.name.ends_with("output.bottleneck")) << block.name;
  }
  for (const Block& block : completed("plain").description.blocks)
    EXPECT_EQ(block.has_dropout, block.name.find(".ffn.") == std::string::npos) << block.name;
}

TEST(MobileBert, EveryStoredTensorIsCountedOnce) {
  for (const char* shape : kMobileBertShapes) {
    for (const bool classifies : {false, true}) {
      const Model model = completed(shape, classifies);
      int64_t counted = 0, stored = 0;
      for (const PartCost& cost : measure_cost(model.description, 8)) counted += cost.parameters;
      for (const auto& [name, tensor] : model.tensors) stored += tensor.size();
      EXPECT_EQ(counted, stored) << shape << classifies;
    }
  }
}

// The released model: 24.6 million in the encoder and its embeddings.
TEST(MobileBert, TheReleasedSizes) {
  Json config = Json::object({{"model_type", "mobilebert"},
                              {"vocab_size", 30522},
                              {"hidden_size", 512},
                              {"num_hidden_layers", 24},
                              {"num_attention_heads", 4},
                              {"intermediate_size", 512},
                              {"max_position_embeddings", 512},
                              {"classifier_activation", false}});
  int64_t parameters = 0;
  for (const PartCost& cost : measure_cost(describe(config, TensorMap()), 128)) parameters += cost.parameters;
  EXPECT_EQ(parameters, 24581888);
}

TEST(MobileBert, NamesAsStored) {
  const Model model = completed("student");
  const StoredNames stored(model);
  EXPECT_EQ(stored("encoder.layer.1.ffn.0.output.dense.weight"),
            "mobilebert.encoder.layer.1.ffn.0.output.dense.weight");
  EXPECT_EQ(stored("cls.predictions.dense.weight"), "cls.predictions.dense.weight");
  const Model original = tiny_mobilebert("student");
  for (const auto& [name, tensor] : model.tensors)
    EXPECT_NE(original.tensors.find(stored(name)), nullptr) << name;
}

TEST(MobileBert, TheMaskedLmHeadGoesOnWhereTheWordsEnd) {
  Model model = completed("student");
  const HeadSpec* head = model.description.find_head(HeadKind::kMaskedLm);
  ASSERT_NE(head, nullptr);
  EXPECT_TRUE(head->tied_to_word_embeddings);
  EXPECT_EQ(head->projection_rest, "cls.predictions.dense.weight");
  EXPECT_EQ(projection_rows(model.description, *head), "embeddings.word_embeddings");
  EXPECT_EQ(projection_row_width(model.description, *head), 8);
  Model missing = tiny_mobilebert("student");
  missing.tensors.erase("cls.predictions.dense.weight");
  EXPECT_NE(refusal(missing).find("cls.predictions.dense.weight"), std::string::npos);
  Model wrong = tiny_mobilebert("student");
  wrong.tensors.set("cls.predictions.dense.weight",
                    Tensor::from_floats({59, 20}, std::vector<float>(59 * 20)));
  EXPECT_NE(refusal(wrong).find("shape [59, 20], wanted [20, 59]"), std::string::npos) << refusal(wrong);
  Model integers = tiny_mobilebert("student");
  integers.tensors.set("cls.predictions.dense.weight",
                       Tensor::from_bytes(DType::kI8, {20, 59}, std::vector<std::byte>(59 * 20)));
  EXPECT_NE(refusal(integers).find("I8"), std::string::npos) << refusal(integers);
  // A decoder that is stored apart has its own rows.
  model.tensors.set("cls.predictions.decoder.weight",
                    Tensor::from_floats({59, 8}, std::vector<float>(59 * 8)));
  model.description = describe(model.config, model.tensors);
  check_model(model, false);
  head = model.description.find_head(HeadKind::kMaskedLm);
  EXPECT_EQ(projection_rows(model.description, *head), "cls.predictions.decoder");
}

TEST(MobileBert, WhatCannotBeComputedIsNamed) {
  Model norm = tiny_mobilebert("student");
  norm.config.set("normalization_type", "batch_norm");
  EXPECT_NE(refusal(norm).find("normalization_type is \"batch_norm\""), std::string::npos);
  Model wide = tiny_mobilebert("student");
  wide.config.set("key_query_shared_bottleneck", false);
  EXPECT_NE(refusal(wide).find("key_query_shared_bottleneck are false"), std::string::npos) << refusal(wide);
  Model heads = tiny_mobilebert("student");
  heads.config.set("num_attention_heads", 5);
  EXPECT_NE(refusal(heads).find("intra_bottleneck_size 12"), std::string::npos) << refusal(heads);
  Model words = tiny_mobilebert("student");
  words.config.set("embedding_size", 40);
  EXPECT_NE(refusal(words).find("embedding_size 40"), std::string::npos) << refusal(words);
  for (const char* key : {"hidden_size", "num_hidden_layers", "num_feedforward_networks", "vocab_size",
                          "intra_bottleneck_size", "embedding_size"}) {
    Model model = tiny_mobilebert("student");
    model.config.set(key, -3);
    EXPECT_NE(refusal(model).find(key), std::string::npos) << key;
  }
}

TEST(MobileBert, HeadsOfTheOtherClasses) {
  for (const char* shape : kMobileBertShapes) {
    const bool activates = std::string(shape) != "student";
    for (const auto& [name, kind] : {std::pair("ForSequenceClassification", HeadKind::kSequenceClassifier),
                                     std::pair("ForTokenClassification", HeadKind::kTokenClassifier),
                                     std::pair("ForQuestionAnswering", HeadKind::kQuestionAnswering)}) {
      const Description d = describe(testing::mobilebert_reference().config(shape, name), TensorMap());
      const HeadSpec* head = d.find_head(kind);
      ASSERT_NE(head, nullptr) << name;
      EXPECT_EQ(head->has_dense, kind == HeadKind::kSequenceClassifier && activates) << name;
    }
    // Without an activation the pooler has no weights: it is there where its class is.
    const Description d = describe(testing::mobilebert_reference().config(shape, "Model"), TensorMap());
    EXPECT_EQ(d.find_head(HeadKind::kPooler) != nullptr, !activates);
  }
}

// Heads and inner features of a layer may be fewer, or none.
TEST(MobileBert, WidthsOfALayer) {
  Model model = tiny_mobilebert("student");
  Json layers = Json::array();
  layers.push_back(Json::object({{"num_attention_heads", 1}, {"intermediate_size", 0}}));
  layers.push_back(Json::object({{"num_attention_heads", 0}, {"intermediate_size", 7}}));
  model.config.set("compression_config", Json::object({{"version", 1}, {"layers", layers}}));
  const Description d = describe(model.config, TensorMap());
  EXPECT_EQ(block_names(d),
            (std::vector<std::string>{"encoder.layer.0.bottleneck.attention",
                                      "encoder.layer.0.bottleneck.input", "encoder.layer.0.attention",
                                      "encoder.layer.0.output.bottleneck", "encoder.layer.1.bottleneck.input",
                                      "encoder.layer.1.ffn.0.output", "encoder.layer.1.ffn.1.output",
                                      "encoder.layer.1.output", "encoder.layer.1.output.bottleneck"}));
  EXPECT_EQ(std::get<AttentionSpec>(d.blocks[2].part).query.out, 6);
  EXPECT_EQ(std::get<FeedForwardSpec>(d.blocks[6].part).up.out, 7);
}

TEST(MobileBert, AFreshOneHasEveryTensorThatTransformersStores) {
  for (const char* shape : kMobileBertShapes) {
    const Model original = completed(shape);
    const Model fresh = new_model(original.config, 5);
    EXPECT_EQ(fresh.tensors.size(), original.tensors.size());
    for (const auto& [name, tensor] : original.tensors) {
      const Tensor* drawn = fresh.tensors.find(name);
      ASSERT_NE(drawn, nullptr) << name;
      EXPECT_EQ(drawn->shape, tensor.shape) << name;
    }
    check_model(fresh, true);
    const std::vector<float> scale =
        read_floats(fresh.tensors.at("encoder.layer.0.attention.output.LayerNorm.weight"), "LayerNorm");
    EXPECT_EQ(scale, std::vector<float>(scale.size(), 1.0f));
  }
}

TEST(MobileBert, AMaskedLmHeadIsGiven) {
  Model model = completed("teacher", true);
  EXPECT_EQ(model.description.find_head(HeadKind::kMaskedLm), nullptr);
  give_masked_lm_head(model, 3);
  const HeadSpec* head = model.description.find_head(HeadKind::kMaskedLm);
  ASSERT_NE(head, nullptr);
  EXPECT_EQ(model.tensors.at(head->projection_rest).shape, (Shape{20, 59}));
  EXPECT_EQ(model.description.find_head(HeadKind::kSequenceClassifier), nullptr);
  EXPECT_TRUE(announces(model.config, "MobileBertForMaskedLM"));
}

}  // namespace
}  // namespace penjing
