#include <gtest/gtest.h>

#include "model/model.h"

namespace penjing {
namespace {

Model model_with(const std::string& type, const std::vector<std::string>& names) {
  Model model;
  model.config = Json::object({{"model_type", type}});
  for (const auto& name : names) model.tensors.set(name, Tensor{});
  return model;
}

TEST(StoredNames, AnEncoderAloneHasNoPrefix) {
  const Model model = model_with(
      "bert", {"embeddings.LayerNorm.weight", "encoder.layer.0.output.dense.weight", "pooler.dense.weight"});
  const StoredNames stored_name(model);
  EXPECT_EQ(stored_name("encoder.layer.0.output.dense"), "encoder.layer.0.output.dense");
}

TEST(StoredNames, BesideAHeadTheEncoderHasItsPrefix) {
  const Model bert = model_with("bert", {"encoder.layer.0.output.dense.weight", "cls.predictions.bias"});
  EXPECT_EQ(StoredNames(bert)("encoder.layer.0.output.dense.weight"),
            "bert.encoder.layer.0.output.dense.weight");
  EXPECT_EQ(StoredNames(bert)("pooler.dense.bias"), "bert.pooler.dense.bias");
  EXPECT_EQ(StoredNames(bert)("cls.predictions.bias"), "cls.predictions.bias");
  const Model distilbert =
      model_with("distilbert", {"transformer.layer.0.ffn.lin1.weight", "qa_outputs.bias"});
  EXPECT_EQ(StoredNames(distilbert)("transformer.layer.0.ffn.lin1.weight"),
            "distilbert.transformer.layer.0.ffn.lin1.weight");
  EXPECT_EQ(StoredNames(distilbert)("qa_outputs.bias"), "qa_outputs.bias");
}

TEST(StoredNames, ADenseModuleOfSentenceTransformersIsNoHead) {
  Model model = model_with("bert", {"embeddings.LayerNorm.weight", "2_Dense.linear.weight"});
  SentenceModule dense;
  dense.kind = SentenceModule::Kind::kDense;
  dense.dense.name = "2_Dense.linear";
  model.sentence.modules = {dense};
  EXPECT_EQ(StoredNames(model)("embeddings.LayerNorm.weight"), "embeddings.LayerNorm.weight");
}

}  // namespace
}  // namespace penjing
