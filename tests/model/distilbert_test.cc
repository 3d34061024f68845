#include <gtest/gtest.h>

#include "base/error.h"
#include "model/architectures.h"
#include "tests/model/tiny_bert.h"

namespace penjing {
namespace {

Model tiny_distilbert() {
  Model model;
  model.config = Json::object({{"model_type", "distilbert"},
                               {"dim", 8},
                               {"n_layers", 1},
                               {"n_heads", 2},
                               {"hidden_dim", 12},
                               {"vocab_size", 16},
                               {"max_position_embeddings", 10},
                               {"activation", "relu"}});
  Rng rng(7);
  const auto linear = [&](const std::string& name, int64_t in, int64_t out) {
    model.tensors.set("distilbert." + name + ".weight", random_tensor({out, in}, rng));
    model.tensors.set("distilbert." + name + ".bias", random_tensor({out}, rng));
  };
  const auto norm = [&](const std::string& name) {
    model.tensors.set("distilbert." + name + ".weight", random_tensor({8}, rng));
    model.tensors.set("distilbert." + name + ".bias", random_tensor({8}, rng));
  };
  model.tensors.set("distilbert.embeddings.word_embeddings.weight", random_tensor({16, 8}, rng));
  model.tensors.set("distilbert.embeddings.position_embeddings.weight", random_tensor({10, 8}, rng));
  norm("embeddings.LayerNorm");
  const std::string base = "transformer.layer.0.";
  for (const char* part : {"q_lin", "k_lin", "v_lin", "out_lin"}) linear(base + "attention." + part, 8, 8);
  norm(base + "sa_layer_norm");
  linear(base + "ffn.lin1", 8, 12);
  linear(base + "ffn.lin2", 12, 8);
  norm(base + "output_layer_norm");
  return model;
}

TEST(DistilBert, BlocksAndNames) {
  Model model = tiny_distilbert();
  complete_model(model);
  const Description& d = model.description;
  EXPECT_EQ(d.family, "distilbert");
  EXPECT_TRUE(d.embedding.token_type.empty());
  ASSERT_EQ(d.blocks.size(), 2u);
  EXPECT_EQ(std::get<AttentionSpec>(d.blocks[0].part).query.name, "transformer.layer.0.attention.q_lin");
  EXPECT_EQ(std::get<FeedForwardSpec>(d.blocks[1].part).activation, Activation::kRelu);
  EXPECT_EQ(d.blocks[1].norm.name, "transformer.layer.0.output_layer_norm");
}

TEST(DistilBert, ItsOwnKeysAreNamed) {
  for (const char* key : {"dim", "n_layers", "n_heads", "hidden_dim", "vocab_size"}) {
    Model model = tiny_distilbert();
    model.config.set(key, -3);
    try {
      complete_model(model);
      ADD_FAILURE() << key;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(key), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace penjing
