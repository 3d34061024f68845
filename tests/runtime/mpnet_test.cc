// MPNet's hidden states against transformers' in double precision (tests/data/mpnet_reference.json).
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/engine.h"
#include "tests/model/mpnet_reference.h"

namespace penjing {
namespace {

TEST(MPNet, HiddenStatesAreThoseOfTransformers) {
  Model model = testing::tiny_mpnet();
  complete_model(model);
  const auto session = Engine::build(model)->new_session(std::make_shared<ThreadPool>(1));
  std::size_t compared = 0;
  for (const auto& [index, kept] : testing::mpnet_reference().find("hidden")->as_object("hidden")) {
    RaggedBatch batch;
    batch.append(testing::mpnet_sequence("ids", std::stoul(index)));
    const Prediction got = session->predict(batch, {.kind = OutputKind::kHidden});
    const auto& tokens = kept.find("tokens")->as_array("tokens");
    const auto& rows = kept.find("rows")->as_array("rows");
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const auto& row = rows[i].as_array("row");
      const auto token = static_cast<std::size_t>(tokens[i].as_int("token"));
      ASSERT_EQ(row.size(), 32u);
      for (std::size_t d = 0; d < row.size(); ++d, ++compared)
        EXPECT_NEAR(got.values[token * 32 + d], row[d].as_double("value"), 2e-6) << index << " " << token;
    }
  }
  EXPECT_EQ(compared, 12u * 32);
}

// The numbers above see the bias: without it they are others.
TEST(MPNet, RelativePositionsCount) {
  Model model = testing::tiny_mpnet();
  complete_model(model);
  RaggedBatch batch;
  batch.append(testing::mpnet_sequence("ids", 2));
  const auto run = [&] {
    return Engine::build(model)
        ->new_session(std::make_shared<ThreadPool>(1))
        ->predict(batch, {.kind = OutputKind::kHidden})
        .values;
  };
  const std::vector<float> with = run();
  model.tensors.set("encoder.relative_attention_bias.weight",
                    Tensor::from_floats({32, 4}, std::vector<float>(128)));
  const std::vector<float> without = run();
  double largest = 0;
  for (std::size_t i = 0; i < with.size(); ++i)
    largest = std::max(largest, std::abs(double{with[i]} - without[i]));
  EXPECT_GT(largest, 1e-3);
}

}  // namespace
}  // namespace penjing
