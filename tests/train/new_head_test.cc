#include "train/new_head.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/compress/tiny_model.h"
#include "tests/runtime/tiny_models.h"
#include "train/parameters.h"

namespace penjing::train {
namespace {

TEST(NewHead, ABertGetsPoolerAndClassifierFromTheSeed) {
  Model model = tiny_bert("bert.");
  complete_model(model);
  Model other = model, same = model;
  give_head(model, "ForSequenceClassification", {"bad", "good", "so so"}, "single_label_classification", 3);
  give_head(same, "ForSequenceClassification", {"bad", "good", "so so"}, "single_label_classification", 3);
  give_head(other, "ForSequenceClassification", {"bad", "good", "so so"}, "single_label_classification", 4);
  EXPECT_EQ(model.config.find("architectures")->dump(), R"(["BertForSequenceClassification"])");
  EXPECT_EQ(model.config.find("id2label")->dump(), R"({"0":"bad","1":"good","2":"so so"})");
  EXPECT_EQ(model.config.find("label2id")->find("so so")->as_int(""), 2);
  EXPECT_EQ(model.config.find("problem_type")->as_string(""), "single_label_classification");
  EXPECT_NE(model.description.find_head(HeadKind::kSequenceClassifier), nullptr);
  const Tensor& weight = model.tensors.at("classifier.weight");
  EXPECT_EQ(weight.shape, (Shape{3, 8}));
  EXPECT_EQ(model.tensors.at("pooler.dense.weight").shape, (Shape{8, 8}));
  EXPECT_EQ(read_floats(model.tensors.at("classifier.bias"), ""), (std::vector<float>(3, 0)));
  EXPECT_EQ(read_floats(weight, ""), read_floats(same.tensors.at("classifier.weight"), ""));
  EXPECT_NE(read_floats(weight, ""), read_floats(other.tensors.at("classifier.weight"), ""));
}

TEST(NewHead, FreshWeightsAreNormalWithTheConfigsDeviation) {
  const std::vector<float> values = read_floats(draw_normal({200, 100}, 0.02, 1, "classifier.weight"), "");
  double sum = 0, square = 0;
  for (const float v : values) sum += v, square += static_cast<double>(v) * v;
  EXPECT_NEAR(sum / 20000, 0, 5e-4);
  EXPECT_NEAR(std::sqrt(square / 20000), 0.02, 4e-4);
  EXPECT_NE(values, read_floats(draw_normal({200, 100}, 0.02, 1, "other.weight"), ""));
}

TEST(NewHead, AHeadThatFitsIsKeptAndAnotherOneGoes) {
  Model model = tiny_classifier();
  model.config.find("architectures")->as_array("")[0] = "BertForSequenceClassification";
  const std::vector<std::string> labels = {"a", "b", "c"};
  give_head(model, "ForSequenceClassification", labels, "", 1);
  const std::vector<float> first = read_floats(model.tensors.at("classifier.weight"), "");
  give_head(model, "ForSequenceClassification", labels, "", 2);
  EXPECT_EQ(read_floats(model.tensors.at("classifier.weight"), ""), first);
  const std::vector<float> pooler = read_floats(model.tensors.at("pooler.dense.weight"), "");
  give_head(model, "ForSequenceClassification", {"a", "b"}, "", 2);
  EXPECT_EQ(model.tensors.at("classifier.weight").shape, (Shape{2, 8}));
  EXPECT_EQ(read_floats(model.tensors.at("pooler.dense.weight"), ""), pooler);
}

TEST(NewHead, SentenceModulesAndTheirFilesGo) {
  Model model = tiny_bert();
  complete_model(model);
  SentenceModule pooling, dense;
  dense.kind = SentenceModule::Kind::kDense;
  dense.dense.name = "2_Dense.linear";
  model.tensors.set("2_Dense.linear.weight", Tensor::from_floats({1, 1}, std::vector<float>{1}));
  model.sentence.modules = {pooling, dense};
  model.side_files = {{"modules.json", "[]"}, {"1_Pooling/config.json", "{}"}, {"vocab.txt", "a"}};
  give_head(model, "ForSequenceClassification", {"a", "b"}, "", 1);
  EXPECT_TRUE(model.sentence.modules.empty());
  EXPECT_EQ(model.tensors.find("2_Dense.linear.weight"), nullptr);
  ASSERT_EQ(model.side_files.size(), 1u);
  EXPECT_EQ(model.side_files[0].path, "vocab.txt");
}

TEST(NewHead, DistilBertsHasItsOwnNames) {
  Model model;
  model.config = Json::object({{"model_type", "distilbert"},
                               {"dim", 16},
                               {"n_layers", 1},
                               {"n_heads", 4},
                               {"hidden_dim", 24},
                               {"vocab_size", 20},
                               {"max_position_embeddings", 16}});
  model.description = describe(model.config, model.tensors);
  testing::fill_tensors(model, 5);
  complete_model(model);
  give_head(model, "ForSequenceClassification", {"a", "b"}, "single_label_classification", 1);
  EXPECT_EQ(model.config.find("architectures")->dump(), R"(["DistilBertForSequenceClassification"])");
  EXPECT_EQ(model.tensors.at("pre_classifier.weight").shape, (Shape{16, 16}));
  EXPECT_EQ(model.tensors.at("classifier.weight").shape, (Shape{2, 16}));
}

}  // namespace
}  // namespace penjing::train
