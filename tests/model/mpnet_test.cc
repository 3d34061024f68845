#include <gtest/gtest.h>

#include "base/error.h"
#include "model/architectures.h"
#include "model/cost.h"
#include "model/new_model.h"
#include "model/relative_positions.h"
#include "tests/model/mpnet_reference.h"

namespace penjing {
namespace {

std::string refusal(Model model) {
  try {
    complete_model(model);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(MPNet, BlocksAndNames) {
  Model model = testing::tiny_mpnet();
  complete_model(model);
  const Description& d = model.description;
  EXPECT_EQ(d.family, "mpnet");
  EXPECT_TRUE(d.embedding.token_type.empty());
  EXPECT_EQ(d.embedding.position.offset, 2);  // behind the row of padding
  ASSERT_EQ(d.blocks.size(), 4u);
  const auto& attention = std::get<AttentionSpec>(d.blocks[2].part);
  EXPECT_EQ(attention.query.name, "encoder.layer.1.attention.attn.q");
  EXPECT_EQ(attention.position.scheme, PositionScheme::kRelativeBuckets);
  EXPECT_EQ(attention.position.name, "encoder.relative_attention_bias");
  EXPECT_EQ(d.blocks[2].norm.name, "encoder.layer.1.attention.LayerNorm");
  const HeadSpec* words = d.find_head(HeadKind::kMaskedLm);
  ASSERT_NE(words, nullptr);
  EXPECT_TRUE(words->tied_to_word_embeddings);
  EXPECT_EQ(StoredNames(model)("encoder.layer.1.attention.attn.q.weight"),
            "mpnet.encoder.layer.1.attention.attn.q.weight");
  EXPECT_EQ(StoredNames(model)("lm_head.bias"), "lm_head.bias");
}

TEST(MPNet, BucketsAreThoseOfTransformers) {
  const Json& reference = testing::mpnet_reference();
  const int64_t farthest = reference.find("farthest")->as_int("farthest");
  const auto& changes = reference.find("buckets")->as_array("buckets");
  std::size_t next = 0;
  int64_t wanted = -1;
  for (int64_t distance = -farthest; distance <= farthest; ++distance) {
    if (next < changes.size() && changes[next].as_array("change")[0].as_int("distance") == distance)
      wanted = changes[next++].as_array("change")[1].as_int("bucket");
    EXPECT_EQ(relative_bucket(distance, 32, 128), wanted) << distance;
  }
  EXPECT_EQ(next, changes.size());
  EXPECT_GT(next, 20u);
}

TEST(MPNet, TheTableOfRelativePositionsIsCheckedAndCountedOnce) {
  Model model = testing::tiny_mpnet();
  complete_model(model);
  int64_t counted = 0, stored = 0;
  for (const PartCost& cost : measure_cost(model.description, 8)) counted += cost.parameters;
  for (const auto& [name, tensor] : model.tensors) stored += tensor.size();
  EXPECT_EQ(counted, stored);

  Model wrong = testing::tiny_mpnet();
  wrong.tensors.set("mpnet.encoder.relative_attention_bias.weight",
                    Tensor::from_floats({32, 3}, std::vector<float>(96)));
  EXPECT_NE(refusal(wrong).find("relative_attention_bias"), std::string::npos) << refusal(wrong);
  Model missing = testing::tiny_mpnet();
  missing.tensors.erase("mpnet.encoder.relative_attention_bias.weight");
  EXPECT_NE(refusal(missing).find("relative_attention_bias"), std::string::npos) << refusal(missing);
}

TEST(MPNet, WhatCannotBeComputedIsNamed) {
  Model buckets = testing::tiny_mpnet();
  buckets.config.set("relative_attention_num_buckets", 16);
  EXPECT_NE(refusal(buckets).find("relative_attention_num_buckets is 16"), std::string::npos);
  Model heads = testing::tiny_mpnet();
  heads.config.set("pruned_heads", Json::object({{"1", Json(Json::Array{Json(2)})}}));
  EXPECT_NE(refusal(heads).find("layer 1 has 3 of 4 heads"), std::string::npos) << refusal(heads);
  for (const char* key : {"hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"}) {
    Model model = testing::tiny_mpnet();
    model.config.set(key, -3);
    EXPECT_NE(refusal(model).find(key), std::string::npos) << key;
  }
}

// all-mpnet-base-v2's config.json names MPNetForMaskedLM, and the checkpoint has a pooler and no lm_head.
TEST(MPNet, ASentenceEncoderMayStillBeCalledMaskedLm) {
  Model model = testing::tiny_mpnet();
  for (const char* part : {"dense.weight", "dense.bias", "layer_norm.weight", "layer_norm.bias", "bias"})
    model.tensors.erase(std::string("lm_head.") + part);
  Model without = model;
  EXPECT_NE(refusal(without).find("lm_head"), std::string::npos);
  model.tensors.set("pooler.dense.weight", Tensor::from_floats({32, 32}, std::vector<float>(1024)));
  model.tensors.set("pooler.dense.bias", Tensor::from_floats({32}, std::vector<float>(32)));
  complete_model(model);
  EXPECT_EQ(model.description.find_head(HeadKind::kMaskedLm), nullptr);
  give_masked_lm_head(model, 1);
  EXPECT_NE(model.description.find_head(HeadKind::kMaskedLm), nullptr);
  EXPECT_EQ(model.tensors.find("pooler.dense.weight"), nullptr);
  EXPECT_TRUE(announces(model.config, "MPNetForMaskedLM"));
}

TEST(MPNet, HeadsOfTheOtherClasses) {
  for (const auto& [name, kind] : {std::pair("MPNetForSequenceClassification", HeadKind::kSequenceClassifier),
                                   std::pair("MPNetForTokenClassification", HeadKind::kTokenClassifier),
                                   std::pair("MPNetForQuestionAnswering", HeadKind::kQuestionAnswering)}) {
    const Description d = describe(testing::tiny_mpnet_config(name), TensorMap());
    ASSERT_EQ(d.heads.size(), 1u) << name;
    EXPECT_EQ(d.heads[0].kind, kind);
  }
  const Description d = describe(testing::tiny_mpnet_config("MPNetForSequenceClassification"), TensorMap());
  EXPECT_EQ(d.heads[0].dense.name, "classifier.dense");
  EXPECT_EQ(d.heads[0].projection.name, "classifier.out_proj");
}

}  // namespace
}  // namespace penjing
