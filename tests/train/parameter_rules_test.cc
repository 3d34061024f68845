#include "train/parameter_rules.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/compress/tiny_model.h"
#include "tests/train/tiny_network.h"

namespace penjing::train {
namespace {

struct Ruled {
  Model model = tiny_classifier();
  Parameters parameters = load_parameters(model);
  std::vector<ParameterRule> rules;
  explicit Ruled(const RuleSettings& settings) : rules(make_rules(parameters, model.description, settings)) {}
  const ParameterRule& of(std::string_view name) const {
    std::size_t i = 0;
    for (const Parameters::Entry& entry : parameters) {
      if (entry.name == name) return rules[i];
      ++i;
    }
    fail(ErrorKind::kInternal, "no parameter {}", name);
  }
};

TEST(ParameterRules, BiasesAndNormsDoNotDecay) {
  RuleSettings settings;
  settings.weight_decay = 0.03;
  const Ruled ruled(settings);
  EXPECT_EQ(ruled.rules.size(), ruled.parameters.size());
  EXPECT_EQ(ruled.of("encoder.layer.0.intermediate.dense.weight").weight_decay, 0.03);
  EXPECT_EQ(ruled.of("embeddings.word_embeddings.weight").weight_decay, 0.03);
  EXPECT_EQ(ruled.of("encoder.layer.0.intermediate.dense.bias").weight_decay, 0);
  EXPECT_EQ(ruled.of("embeddings.LayerNorm.weight").weight_decay, 0);
  for (const ParameterRule& rule : ruled.rules) EXPECT_EQ(rule.rate, 1);
}

TEST(ParameterRules, RatesOfLayersAreScaled) {
  RuleSettings settings;
  settings.layer_decay = 0.5;
  Ruled ruled(settings);
  const std::vector<int64_t> layers = layers_of(ruled.parameters, ruled.model.description);
  ruled.rules = scale_rates(ruled.rules, layers, [](int64_t layer) {
    return layer == 0 ? 0.1 : layer == 1 ? 0.2 : 1;
  });
  EXPECT_EQ(ruled.of("classifier.weight").rate, 1);
  EXPECT_EQ(ruled.of("encoder.layer.1.attention.self.query.weight").rate, 0.5);
  EXPECT_EQ(ruled.of("encoder.layer.0.output.dense.weight").rate, 0.25 * 0.2);
  EXPECT_EQ(ruled.of("embeddings.LayerNorm.bias").rate, 0.125 * 0.1);
}

TEST(ParameterRules, TheRateFallsFromTheHeadDown) {
  RuleSettings settings;
  settings.layer_decay = 0.5;
  const Ruled ruled(settings);
  EXPECT_EQ(ruled.of("classifier.weight").rate, 1);
  EXPECT_EQ(ruled.of("pooler.dense.weight").rate, 1);
  EXPECT_EQ(ruled.of("encoder.layer.1.attention.self.query.weight").rate, 0.5);
  EXPECT_EQ(ruled.of("encoder.layer.1.output.LayerNorm.bias").rate, 0.5);
  EXPECT_EQ(ruled.of("encoder.layer.0.output.dense.weight").rate, 0.25);
  EXPECT_EQ(ruled.of("embeddings.word_embeddings.weight").rate, 0.125);
  EXPECT_EQ(ruled.of("embeddings.LayerNorm.bias").rate, 0.125);
  for (const double wrong : {0.0, 1.5}) {
    settings.layer_decay = wrong;
    EXPECT_THROW(Ruled{settings}, Error) << wrong;
  }
}

TEST(ParameterRules, OnlyLayersAreTrainedBetweenEmbeddingsAndHead) {
  RuleSettings settings;
  settings.only_layers = true;
  const Ruled ruled(settings);
  for (const char* name : {"classifier.bias", "pooler.dense.weight", "embeddings.word_embeddings.weight",
                           "embeddings.LayerNorm.bias"}) {
    EXPECT_TRUE(ruled.of(name).frozen) << name;
  }
  EXPECT_FALSE(ruled.of("encoder.layer.1.output.LayerNorm.bias").frozen);
  EXPECT_FALSE(ruled.of("encoder.layer.0.attention.self.query.weight").frozen);
}

TEST(ParameterRules, OnlyTheHeadIsTrainedOfAFrozenEncoder) {
  RuleSettings settings;
  settings.freeze_encoder = true;
  const Ruled ruled(settings);
  EXPECT_FALSE(ruled.of("classifier.bias").frozen);
  EXPECT_FALSE(ruled.of("pooler.dense.weight").frozen);
  EXPECT_TRUE(ruled.of("encoder.layer.1.output.dense.weight").frozen);
  EXPECT_TRUE(ruled.of("embeddings.LayerNorm.weight").frozen);
}

TEST(ParameterRules, TheLastGroupThatMatchesDecides) {
  RuleSettings settings;
  settings.groups = {{"encoder\\.layer\\.0\\.", 0.1, 0.5, true}, {"layer.0.*bias$", 2, -1, false}};
  const Ruled ruled(settings);
  EXPECT_TRUE(ruled.of("encoder.layer.0.output.dense.weight").frozen);
  EXPECT_EQ(ruled.of("encoder.layer.0.output.dense.weight").weight_decay, 0.5);
  EXPECT_FALSE(ruled.of("encoder.layer.0.output.dense.bias").frozen);
  EXPECT_EQ(ruled.of("encoder.layer.0.output.dense.bias").rate, 2);
  EXPECT_EQ(ruled.of("encoder.layer.1.output.dense.weight").rate, 1);
}

TEST(ParameterRules, APatternThatMatchesNothingIsAnError) {
  for (const char* pattern : {"no_such_layer", "("}) {
    RuleSettings settings;
    settings.groups = {{pattern}};
    const Error error = error_of([&] { Ruled{settings}; });
    EXPECT_EQ(error.kind(), ErrorKind::kInput) << pattern;
    EXPECT_TRUE(says(error, pattern)) << error.what();
  }
}

}  // namespace
}  // namespace penjing::train
