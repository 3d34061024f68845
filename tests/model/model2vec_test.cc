#include <gtest/gtest.h>

#include "base/error.h"
#include "model/architectures.h"
#include "tests/model/tiny_bert.h"

namespace penjing {
namespace {

Model tiny_table(const std::string& name = "embeddings") {
  Model model;
  model.config = Json::object({{"model_type", "model2vec"}, {"hidden_dim", 6}});
  Rng rng(7);
  model.tensors.set(name, random_tensor({9, 6}, rng));
  return model;
}

TEST(Model2Vec, ATableAndNothingElse) {
  for (const char* name : {"embeddings", "embedding.weight"}) {
    Model model = tiny_table(name);
    complete_model(model);
    const Description& d = model.description;
    EXPECT_EQ(d.family, "model2vec");
    EXPECT_EQ(d.embedding.vocab_size, 9);
    EXPECT_EQ(d.hidden_size, 6);
    EXPECT_TRUE(d.blocks.empty());
    EXPECT_TRUE(d.heads.empty());
    EXPECT_EQ(d.embedding.position.scheme, PositionScheme::kNone);
    EXPECT_FALSE(d.embedding.has_norm);
    EXPECT_NE(model.tensors.find("embeddings.weight"), nullptr);
    EXPECT_EQ(StoredNames(model)("embeddings.weight"), "embeddings");
  }
}

TEST(Model2Vec, LengthsAsItsOwnLoaderHasThem) {
  Model model = tiny_table();
  complete_model(model);
  EXPECT_EQ(model.description.max_positions, 512);
  model.config.set("max_length", Json());
  EXPECT_EQ(describe(model.config, model.tensors).max_positions, kMaxPositions);
  model.config.set("max_length", 77);
  EXPECT_EQ(describe(model.config, model.tensors).max_positions, 77);
}

TEST(Model2Vec, RefusesWhatItIsNot) {
  Model wide = tiny_table();
  wide.config.set("hidden_dim", 7);
  EXPECT_THROW(complete_model(wide), Error);
  Model mapped = tiny_table();
  Rng rng(1);
  mapped.tensors.set("mapping", random_tensor({9}, rng));
  EXPECT_THROW(complete_model(mapped), Error);
  Model none = tiny_table("other");
  EXPECT_THROW(complete_model(none), Error);
  Model flat = tiny_table("other");
  flat.tensors.set("embeddings", random_tensor({9}, rng));
  EXPECT_THROW(complete_model(flat), Error);
}

}  // namespace
}  // namespace penjing
