#include <gtest/gtest.h>

#include "base/error.h"
#include "model/cost.h"
#include "model/new_model.h"
#include "tests/model/family_reference.h"

namespace penjing {
namespace {

const testing::FamilyReference& reference() {
  static const testing::FamilyReference known("electra");
  return known;
}

std::string refusal(Model model) {
  try {
    complete_model(model);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Electra, EmbeddingsAreProjectedWhereTheyAreNarrow) {
  for (const std::string& shape : reference().shapes()) {
    Model model = reference().model(shape);
    complete_model(model);
    const Description& d = model.description;
    EXPECT_EQ(d.family, "electra");
    const bool narrow = shape == "narrow";
    EXPECT_EQ(d.embedding.has_projection, narrow);
    EXPECT_EQ(d.embedding.width, narrow ? 12 : 28);
    EXPECT_EQ(d.embedding.out(), 28);
    EXPECT_EQ(d.embedding.norm.width, d.embedding.width);  // the norm is before the projection
    const HeadSpec* words = d.find_head(HeadKind::kMaskedLm);
    ASSERT_NE(words, nullptr);
    EXPECT_TRUE(words->tied_to_word_embeddings);
    EXPECT_EQ(words->projection.in, d.embedding.width);
    const StoredNames stored(model);
    EXPECT_EQ(stored("embeddings_project.weight"), "electra.embeddings_project.weight");
    EXPECT_EQ(stored("generator_lm_head.bias"), "generator_lm_head.bias");
    int64_t counted = 0, there = 0;
    for (const PartCost& cost : measure_cost(d, 8)) counted += cost.parameters;
    for (const auto& [name, tensor] : model.tensors) there += tensor.size();
    EXPECT_EQ(counted, there) << shape;
  }
}

TEST(Electra, WhatDoesNotFitIsNamed) {
  Model missing = reference().model("narrow");
  missing.tensors.erase("electra.embeddings_project.weight");
  EXPECT_NE(refusal(missing).find("embeddings_project"), std::string::npos) << refusal(missing);
  Model wide = reference().model("narrow");
  wide.config.set("embedding_size", 13);
  EXPECT_NE(refusal(wide).find("word_embeddings"), std::string::npos) << refusal(wide);
  for (const char* key : {"embedding_size", "hidden_size", "num_attention_heads", "vocab_size"}) {
    Model model = reference().model("narrow");
    model.config.set(key, -3);
    EXPECT_NE(refusal(model).find(key), std::string::npos) << key;
  }
  Model relative = reference().model("narrow");
  relative.config.set("position_embedding_type", "relative_key");
  EXPECT_NE(refusal(relative).find("relative_key"), std::string::npos);
}

TEST(Electra, HeadsOfItsClasses) {
  for (const auto& [name, kind] : {std::pair("ForSequenceClassification", HeadKind::kSequenceClassifier),
                                   std::pair("ForTokenClassification", HeadKind::kTokenClassifier),
                                   std::pair("ForQuestionAnswering", HeadKind::kQuestionAnswering)}) {
    const Description d = describe(reference().config("narrow", name), TensorMap());
    ASSERT_EQ(d.heads.size(), 1u) << name;
    EXPECT_EQ(d.heads[0].kind, kind);
  }
  EXPECT_TRUE(describe(reference().config("narrow", "ForPreTraining"), TensorMap()).heads.empty());
}

// From a classifier to a masked-language model, and what a discriminator has besides is carried along.
TEST(Electra, GetsAMaskedLmHead) {
  Model model = reference().model("narrow", true);
  model.tensors.set("discriminator_predictions.dense.weight",
                    Tensor::from_floats({2}, std::vector<float>{1, 2}));
  complete_model(model);
  give_masked_lm_head(model, 1);
  const HeadSpec* words = model.description.find_head(HeadKind::kMaskedLm);
  ASSERT_NE(words, nullptr);
  EXPECT_EQ(model.tensors.find("classifier.dense.weight"), nullptr);
  EXPECT_NE(model.tensors.find("discriminator_predictions.dense.weight"), nullptr);
  EXPECT_EQ(model.tensors.at("generator_predictions.dense.weight").shape, (Shape{12, 28}));
}

}  // namespace
}  // namespace penjing
