#include <gtest/gtest.h>

#include "base/error.h"
#include "model/architectures.h"
#include "model/cost.h"
#include "tests/model/tiny_bilstm.h"

namespace penjing {
namespace {

TEST(BiLstm, EmbeddingRecurrenceAndClassifier) {
  const Model model = testing::tiny_bilstm({}, 1);
  const Description& d = model.description;
  EXPECT_EQ(d.family, "bilstm");
  EXPECT_EQ(d.hidden_size, 6);
  EXPECT_EQ(d.max_positions, 512);
  EXPECT_EQ(d.embedding.position.scheme, PositionScheme::kNone);
  ASSERT_EQ(d.blocks.size(), 1u);
  EXPECT_EQ(d.blocks[0].kind(), BlockKind::kRecurrent);
  const auto& recurrent = std::get<RecurrentSpec>(d.blocks[0].part);
  EXPECT_EQ(recurrent.size, 3);
  EXPECT_FALSE(recurrent.restarts);
  ASSERT_NE(d.find_head(HeadKind::kSequenceClassifier), nullptr);
  EXPECT_EQ(d.find_head(HeadKind::kSequenceClassifier)->input, HeadInput::kEnds);
  EXPECT_EQ(d.find_head(HeadKind::kSequenceClassifier)->activation, Activation::kRelu);
  EXPECT_EQ(StoredNames(model)("encoder.forward.input.weight"), "encoder.forward.input.weight");
  Json encoder = model.config;
  encoder.set("architectures", Json(Json::Array{Json("BiLstmModel")}));
  EXPECT_TRUE(describe(encoder, model.tensors).heads.empty());
}

TEST(BiLstm, ComparesTheTextsOfAPair) {
  const Model model = testing::tiny_bilstm({.siamese = true}, 1);
  EXPECT_TRUE(std::get<RecurrentSpec>(model.description.blocks[0].part).restarts);
  const HeadSpec* head = model.description.find_head(HeadKind::kSequenceClassifier);
  EXPECT_EQ(head->input, HeadInput::kEnds);
  EXPECT_TRUE(head->compares);
  EXPECT_EQ(head->dense.in, 24);
}

TEST(BiLstm, AttendsToAllStates) {
  const Model model = testing::tiny_bilstm({.siamese = true, .attention = 7}, 1);
  const HeadSpec* head = model.description.find_head(HeadKind::kSequenceClassifier);
  EXPECT_EQ(head->input, HeadInput::kAttended);
  EXPECT_TRUE(head->compares);
  EXPECT_EQ(head->attention.in, 6);
  EXPECT_EQ(head->attention.out, 7);
  EXPECT_EQ(head->attention_score.out, 1);
  // Of 9 tokens: 2 (6 7 + 7) more a token, and 6 7 + 7 + 7 parameters.
  const Model ends = testing::tiny_bilstm({.siamese = true}, 1);
  int64_t flops = 0, parameters = 0;
  for (const auto& [of, sign] : {std::pair{&model, 1}, {&ends, -1}}) {
    for (const PartCost& part : measure_cost(of->description, 9)) {
      flops += sign * part.flops;
      parameters += sign * part.parameters;
    }
  }
  EXPECT_EQ(flops, 9 * 2 * (6 * 7 + 7));
  EXPECT_EQ(parameters, 6 * 7 + 7 + 7);
  Model unknown = model;
  unknown.config.set("pooling", "mean");
  EXPECT_THROW(complete_model(unknown), Error);
  Model torn = model;
  torn.tensors.erase("pooling.score.weight");
  EXPECT_THROW(complete_model(torn), Error);
}

// Tang et al. count 0.96 million parameters without the embeddings, which are words there; E = 300, H = 150,
// dense 200, two classes: 2 (300 600 + 600 + 150 600) + (300 200 + 200) + (200 2 + 2).
TEST(BiLstm, CostsWhatItsProductsCost) {
  const Model model =
      testing::tiny_bilstm({.vocab = 10, .width = 300, .size = 150, .dense = 200, .classes = 2}, 1);
  int64_t parameters = 0, flops = 0;
  for (const PartCost& part : measure_cost(model.description, 7)) {
    if (part.part != "embeddings") parameters += part.parameters;
    flops += part.flops;
  }
  EXPECT_EQ(parameters, 541200 + 60200 + 402);
  EXPECT_EQ(flops, 2 * (7 * 2 * (300 * 600 + 150 * 600) + 300 * 200 + 200 * 2));
}

TEST(BiLstm, RefusesWhatItIsNot) {
  const auto refused = [](const char* key, Json value) {
    Model model = testing::tiny_bilstm({}, 1);
    model.config.set(key, value);
    EXPECT_THROW(complete_model(model), Error) << key;
  };
  refused("hidden_size", 4);
  refused("embedding_size", 6);
  refused("dense_size", 5);
  refused("siamese", true);
  refused("siamese", 1);
  refused("vocab_size", 24);
  Model model = testing::tiny_bilstm({}, 1);
  model.tensors.erase("encoder.backward.hidden.weight");
  EXPECT_THROW(complete_model(model), Error);
}

}  // namespace
}  // namespace penjing
