// A table of token embeddings (Model2Vec) in the trainer.
#include <gtest/gtest.h>

#include "runtime/engine.h"
#include "tests/model/tiny_bert.h"
#include "tests/train/tiny_network.h"

namespace penjing::train {
namespace {

constexpr int64_t kTokens = 20, kWidth = 8;

// Rows 0 to 3 are zero, as of special tokens.
Model make_table() {
  Model model;
  model.config = Json::object({{"model_type", "model2vec"}, {"embedding_dtype", "float16"}});
  Rng rng(4);
  Tensor table = random_tensor({kTokens, kWidth}, rng, 1);
  std::vector<float> values = read_floats(table, "embeddings");
  std::fill_n(values.begin(), 4 * kWidth, 0.0f);
  model.tensors.set("embeddings", Tensor::from_floats({kTokens, kWidth}, values));
  complete_model(model);
  SentenceModule pooling, normalize;
  pooling.pooling.modes = {PoolingMode::kMean};
  normalize.kind = SentenceModule::Kind::kNormalize;
  model.sentence.modules = {pooling, normalize};
  return model;
}

RaggedBatch some_texts() {
  RaggedBatch batch;
  batch.append(std::vector<int32_t>{1, 7, 8, 9, 2});
  batch.append(std::vector<int32_t>{1, 12, 3, 7, 7, 2});
  batch.append(std::vector<int32_t>{1, 2});
  return batch;
}

TEST(StaticTable, EmbeddingsAreThoseOfTheRuntime) {
  const Model model = make_table();
  const auto network = penjing::testing::make_network(model);
  const penjing::testing::Forwarding forwarding;
  const PackedBatch batch = penjing::testing::pack_numbered(some_texts());
  const at::Tensor embeddings =
      embed_sentences(model, network->parameters, network->encoder->forward(batch, forwarding.context), batch,
                      forwarding.context);
  const Prediction wanted = Engine::build(model)
                                ->new_session(std::make_shared<ThreadPool>(1))
                                ->predict(some_texts(), {.kind = OutputKind::kEmbedding});
  EXPECT_LT(penjing::testing::relative_error(penjing::testing::to_vector(embeddings), wanted.values), 1e-6);
}

TEST(StaticTable, RowsOfZerosLearnNothingAndTheTableKeepsItsName) {
  Model model = make_table();
  const auto network = penjing::testing::make_network(model);
  const penjing::testing::Forwarding forwarding;
  const PackedBatch batch = penjing::testing::pack_numbered(some_texts());
  const at::Tensor embeddings =
      embed_sentences(model, network->parameters, network->encoder->forward(batch, forwarding.context), batch,
                      forwarding.context);
  (embeddings * at::arange(kWidth)).sum().backward();
  const at::Tensor gradient = network->parameters.at("embeddings.weight").grad();
  EXPECT_EQ(gradient.narrow(0, 0, 4).abs().max().item<float>(), 0);
  for (const int64_t token : {7, 8, 9, 12}) EXPECT_GT(gradient[token].abs().max().item<float>(), 0) << token;
  EXPECT_EQ(gradient[10].abs().max().item<float>(), 0);  // in no text
  store_parameters(network->parameters, model);
  EXPECT_EQ(StoredNames(model)("embeddings.weight"), "embeddings");
  EXPECT_EQ(model.config.find("embedding_dtype")->as_string(""), "float32");
}

}  // namespace
}  // namespace penjing::train
