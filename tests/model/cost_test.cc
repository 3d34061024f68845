#include "model/cost.h"

#include <gtest/gtest.h>

#include <map>

#include "model/architectures.h"
#include "model/model.h"

namespace penjing {
namespace {

// The description of BERT-base or -large with its pooler, from the config alone.
Description bert(int64_t hidden, int64_t layers, int64_t heads) {
  const Json config = Json::object({{"model_type", "bert"},
                                    {"hidden_size", hidden},
                                    {"num_hidden_layers", layers},
                                    {"num_attention_heads", heads},
                                    {"intermediate_size", 4 * hidden},
                                    {"vocab_size", 30522},
                                    {"max_position_embeddings", 512},
                                    {"type_vocab_size", 2}});
  TensorMap tensors;
  tensors.set("pooler.dense.weight", Tensor{});
  return describe(config, tensors);
}

std::map<std::string, PartCost> parts_of(const Description& d, int64_t length) {
  std::map<std::string, PartCost> parts;
  for (const PartCost& part : sum_parts(measure_cost(d, length))) parts[part.part] = part;
  return parts;
}

struct Row {
  const char* part;
  int64_t base, large;
};
// methods.md B4.1. There the embeddings' LayerNorm counts as embedding; `inspect` shows it as layer_norm.
constexpr Row kParameters[] = {
    {"attention", 28348416, 100761600}, {"feed_forward", 56669184, 201449472}, {"pooler", 590592, 1049600}};

TEST(Cost, ParametersOfBertBaseAndLarge) {
  const auto base = parts_of(bert(768, 12, 12), 128), large = parts_of(bert(1024, 24, 16), 128);
  for (const Row& row : kParameters) {
    EXPECT_EQ(base.at(row.part).parameters, row.base) << row.part;
    EXPECT_EQ(large.at(row.part).parameters, row.large) << row.part;
  }
  EXPECT_EQ(base.at("embeddings").parameters + base.at("layer_norm").parameters, 23837184 + 36864);
  EXPECT_EQ(large.at("embeddings").parameters + large.at("layer_norm").parameters, 31782912 + 98304);
  int64_t total_base = 0, total_large = 0;
  for (const auto& [name, part] : base) total_base += part.parameters;
  for (const auto& [name, part] : large) total_large += part.parameters;
  EXPECT_EQ(total_base, 109482240);
  EXPECT_EQ(total_large, 335141888);
}

int64_t encoder_flops(const std::map<std::string, PartCost>& parts) {
  return parts.at("attention").flops + parts.at("scores").flops + parts.at("feed_forward").flops;
}

// Published to two decimals of 10^9: 5.47, 22.35, 70.67, 96.64.
TEST(Cost, FlopsOfBertBase) {
  const Description d = bert(768, 12, 12);
  const std::pair<int64_t, int64_t> wanted[] = {{32, 547}, {128, 2235}, {384, 7067}, {512, 9664}};
  for (const auto& [length, hundredths] : wanted) {
    EXPECT_EQ((encoder_flops(parts_of(d, length)) + 5'000'000) / 10'000'000, hundredths) << length;
  }
  const auto at_128 = parts_of(d, 128), at_512 = parts_of(d, 512);
  const auto percent = [](const auto& parts, const char* name) {
    return 100.0 * static_cast<double>(parts.at(name).flops) / static_cast<double>(encoder_flops(parts));
  };
  EXPECT_NEAR(percent(at_128, "attention"), 32.4, 0.05);
  EXPECT_NEAR(percent(at_128, "feed_forward"), 64.9, 0.05);
  EXPECT_NEAR(percent(at_128, "scores"), 2.7, 0.05);
  EXPECT_NEAR(percent(at_512, "attention"), 30, 0.5);
  EXPECT_NEAR(percent(at_512, "feed_forward"), 60, 0.5);
  EXPECT_NEAR(percent(at_512, "scores"), 10, 0.5);
}

// The definition by hand: 2 d (L^2) for Q K^T and as much for P V, a head.
TEST(Cost, ScoresByHand) {
  const auto parts = parts_of(bert(768, 12, 12), 100);
  EXPECT_EQ(parts.at("scores").flops, int64_t{12} * 12 * 2 * (2 * 64 * 100 * 100));
  EXPECT_EQ(parts.at("attention").flops, int64_t{12} * 4 * 2 * 768 * 768 * 100);
  EXPECT_EQ(parts.at("feed_forward").flops, int64_t{12} * 2 * 2 * 768 * 3072 * 100);
}

}  // namespace
}  // namespace penjing
