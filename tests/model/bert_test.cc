#include <gtest/gtest.h>

#include "model/architectures.h"
#include "tests/model/tiny_bert.h"

namespace penjing {
namespace {

TEST(Bert, BlocksAndNames) {
  Model model = tiny_bert();
  complete_model(model);
  const Description& d = model.description;
  EXPECT_EQ(d.hidden_size, 8);
  EXPECT_EQ(d.num_layers, 2);
  EXPECT_EQ(d.embedding.token_type, "embeddings.token_type_embeddings");
  ASSERT_EQ(d.blocks.size(), 4u);
  for (int i = 0; i < 4; ++i) {
    const Block& block = d.blocks[static_cast<std::size_t>(i)];
    EXPECT_EQ(block.layer, i / 2);
    EXPECT_EQ(block.input, i);
    EXPECT_EQ(block.residual, i);
    EXPECT_EQ(block.norm_place, NormPlace::kPost);
    EXPECT_EQ(block.norm.epsilon, 1e-12f);
  }
  const auto& attention = std::get<AttentionSpec>(d.blocks[2].part);
  EXPECT_EQ(attention.key.name, "encoder.layer.1.attention.self.key");
  EXPECT_EQ(attention.scale, 0.5f);
  const auto& feed_forward = std::get<FeedForwardSpec>(d.blocks[3].part);
  EXPECT_EQ(feed_forward.down.name, "encoder.layer.1.output.dense");
  EXPECT_EQ(feed_forward.activation, Activation::kGelu);
  EXPECT_EQ(d.output, 4);
  EXPECT_TRUE(d.heads.empty());
}

// Which heads are there follows from the tensors, or from the class the config names.
TEST(Bert, Heads) {
  Rng rng(1);
  Model model = tiny_bert();
  model.tensors.set("pooler.dense.weight", random_tensor({8, 8}, rng));
  model.tensors.set("pooler.dense.bias", random_tensor({8}, rng));
  model.tensors.set("cls.predictions.transform.dense.weight", random_tensor({8, 8}, rng));
  model.tensors.set("cls.predictions.transform.dense.bias", random_tensor({8}, rng));
  model.tensors.set("cls.predictions.transform.LayerNorm.weight", random_tensor({8}, rng));
  model.tensors.set("cls.predictions.transform.LayerNorm.bias", random_tensor({8}, rng));
  model.tensors.set("cls.predictions.bias", random_tensor({16}, rng));
  model.tensors.set("qa_outputs.weight", random_tensor({2, 8}, rng));
  model.tensors.set("qa_outputs.bias", random_tensor({2}, rng));
  complete_model(model);
  const HeadSpec* masked = model.description.find_head(HeadKind::kMaskedLm);
  ASSERT_NE(masked, nullptr);
  EXPECT_TRUE(masked->tied_to_word_embeddings);
  EXPECT_EQ(masked->projection.out, 16);
  EXPECT_NE(model.description.find_head(HeadKind::kPooler), nullptr);
  EXPECT_NE(model.description.find_head(HeadKind::kQuestionAnswering), nullptr);
  EXPECT_EQ(model.description.find_head(HeadKind::kSequenceClassifier), nullptr);

  model.tensors.set("cls.predictions.decoder.weight", random_tensor({16, 8}, rng));
  complete_model(model);
  EXPECT_FALSE(model.description.find_head(HeadKind::kMaskedLm)->tied_to_word_embeddings);
}

TEST(Bert, IsListed) {
  ASSERT_NE(find_architecture("bert"), nullptr);
  EXPECT_STREQ(find_architecture("bert")->prefix, "bert.");
  EXPECT_EQ(find_architecture("bert "), nullptr);
}

}  // namespace
}  // namespace penjing
