#include "recipe/recipe.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "recipe/schema.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

class Recipes : public ::testing::Test {
 protected:
  TestFolder folder_{"recipes"};
  Recipe load(const std::string& content, const std::vector<std::string>& overrides = {}) {
    write_bytes(folder_ / "recipe.json", content);
    return load_recipe(folder_ / "recipe.json", overrides);
  }
  // The message of the usage error that it must be.
  std::string refused(const std::string& content, const std::vector<std::string>& overrides = {}) {
    try {
      (void)load(content, overrides);
    } catch (const Error& error) {
      EXPECT_TRUE(error.kind() == ErrorKind::kInput || error.kind() == ErrorKind::kUnsupported)
          << error.what();
      return error.what();
    }
    ADD_FAILURE() << "accepted: " << content;
    return "";
  }
  static std::string param(const Recipe& recipe, std::size_t step, const char* name) {
    return recipe.steps.at(step).params.find(name)->as_string(name);
  }
};

constexpr const char* kSmall = R"({"model": "m", "steps": [{"method": "quantize"}]})";

TEST_F(Recipes, DefaultsAreWrittenOutAndReadBack) {
  const Recipe recipe = load(R"(// a comment
    {"model": "minilm", /* another */ "steps": [{"method": "quantize", "scheme": "w7a8"}, {"method": "dequantize"}]})");
  ASSERT_EQ(recipe.steps.size(), 2u);
  EXPECT_EQ(param(recipe, 0, "scheme"), "w7a8");
  EXPECT_EQ(param(recipe, 0, "range"), "dynamic");
  EXPECT_EQ(recipe.calibration.samples, 300);
  const Json json = to_json(recipe);
  EXPECT_EQ(to_json(recipe_from_json(json, "again")), json);
}

TEST_F(Recipes, AStepBeginsWithWhatItNames) {
  const Recipe recipe = load(R"({"model": "m", "steps": [{"method": "quantize"}, {"method": "dequantize"},
      {"method": "quantize", "start": "model"}, {"method": "dequantize", "start": "steps.0"}]})");
  std::vector<int> starts;
  for (const RecipeStep& step : recipe.steps) starts.push_back(step.start);
  EXPECT_EQ(starts, (std::vector<int>{RecipeStep::kModel, 0, RecipeStep::kModel, 0}));
  const Json json = to_json(recipe);
  EXPECT_EQ(to_json(recipe_from_json(json, "again")), json);
  for (const char* wrong : {"steps.0", "steps.7", "steps.x", "first"}) {
    EXPECT_NE(refused(kSmall, {std::string("steps.0.start=") + wrong}).find("start"), std::string::npos)
        << wrong;
  }
}

TEST_F(Recipes, Overrides) {
  const Recipe recipe =
      load(kSmall, {"steps.0.scheme=w4a16", "steps.0.group_size=64", "seed=7", "model=other",
                    "calibration.samples=20", "steps.0.exclude=[\"*.0.*\"]"});
  EXPECT_EQ(param(recipe, 0, "scheme"), "w4a16");
  EXPECT_EQ(recipe.steps[0].params.find("group_size")->as_int(""), 64);
  EXPECT_EQ(recipe.seed, 7u);
  EXPECT_EQ(recipe.model, "other");
  EXPECT_EQ(recipe.calibration.samples, 20);
  EXPECT_NE(refused(kSmall, {"steps.1.scheme=w8a8"}).find("\"1\""), std::string::npos);
  EXPECT_NE(refused(kSmall, {"steps.0.schem=w8a8"}).find("\"scheme\""), std::string::npos);
  EXPECT_NE(refused(kSmall, {"steps.0.scheme=w9"}).find("w8a8"), std::string::npos);
  EXPECT_NE(refused(kSmall, {"model.x=1"}).find("below"), std::string::npos);
  EXPECT_NE(refused(kSmall, {"scheme"}).find("KEY=VALUE"), std::string::npos);
}

TEST_F(Recipes, ExtendsAnother) {
  write_bytes(folder_ / "base/texts.txt", "one\n");
  write_bytes(
      folder_ / "base/base.json",
      R"({"model": "minilm", "data": "texts.txt", "calibration": {"samples": 10, "texts": "texts.txt"},
                  "steps": [{"method": "quantize"}, {"method": "dequantize"}]})");
  const Recipe recipe = load(R"({"extends": "base/base.json", "calibration": {"samples": 5},
                                 "steps": [{"method": "quantize", "scheme": "w8a16"}]})");
  EXPECT_EQ(recipe.model, "minilm");
  ASSERT_EQ(recipe.steps.size(), 1u);  // lists are replaced
  EXPECT_EQ(recipe.calibration.samples, 5);
  // Paths are relative to the file they stand in.
  EXPECT_EQ(recipe.calibration.texts,
            (std::filesystem::weakly_canonical(folder_ / "base/texts.txt")).string());
  EXPECT_EQ(recipe.data.filename(), "texts.txt");
  EXPECT_NE(refused(R"({"extends": "recipe.json"})").find("circle"), std::string::npos);
  EXPECT_THROW((void)load(R"({"extends": "nothing.json"})"), Error);
  for (int i = 0; i < 12; ++i)
    write_bytes(folder_ / (std::to_string(i) + ".json"),
                R"({"extends": ")" + std::to_string(i + 1) + R"(.json"})");
  EXPECT_NE(refused(R"({"extends": "0.json"})").find("more than 8"), std::string::npos);
}

TEST_F(Recipes, WhatIsWrongIsNamed) {
  const auto with = [](const std::string& more) {
    return R"({"model": "m", "steps": [{"method": "quantize"}], )" + more + "}";
  };
  EXPECT_NE(refused(with(R"("goal": [])")).find("\"goals\""), std::string::npos);
  EXPECT_NE(refused(R"({"steps": [{"method": "quantize"}]})").find("model"), std::string::npos);
  EXPECT_NE(refused(R"({"model": "m"})").find("steps"), std::string::npos);
  EXPECT_NE(refused(R"({"model": "m", "steps": [{"method": "quantise"}]})").find("\"quantize\""),
            std::string::npos);
  EXPECT_NE(
      refused(R"({"model": "m", "steps": [{"method": "quantize", "group_size": "x"}]})").find("steps.0"),
      std::string::npos);
  EXPECT_NE(refused(with(R"("data": "nothing.txt")")).find("nothing.txt"), std::string::npos);
  EXPECT_NE(refused(with(R"("seed": -1)")).find("seed"), std::string::npos);
  EXPECT_NE(refused(with(R"("eval": [{"task": "stbs", "data": "."}])")).find("\"stsb\""), std::string::npos);
  EXPECT_NE(refused(with(R"("eval": [{"task": "stsb"}])")).find("data"), std::string::npos);
  EXPECT_NE(refused(with(R"("goals": [{"metric": "cosine", "value": 1}])")).find("cosine_m"),
            std::string::npos);
  EXPECT_NE(
      refused(with(R"("goals": [{"metric": "top1", "type": "least", "value": 1}])")).find("max-degradation"),
      std::string::npos);
  EXPECT_NE(refused(with(R"("goals": [{"metric": "top1"}])")).find("value"), std::string::npos);
  EXPECT_NE(refused("[1]").find("object"), std::string::npos);
  EXPECT_NE(refused("{").find("recipe.json"), std::string::npos);
}

TEST_F(Recipes, MutatedOnesAreReadOrRefused) {
  const std::string whole =
      R"({"model": "m", "data_limit": 3, "steps": [{"method": "quantize", "scheme": "w8a8", "keep": 2}],
          "goals": [{"metric": "size_ratio", "type": "threshold", "value": 2.5}], "seed": 3})";
  Rng rng(1);
  int accepted = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string text = whole;
    for (int edit = 0; edit < 2; ++edit) text[rng.below(text.size())] = "{}[]\",:0x "[rng.below(11)];
    try {
      (void)load(text);
      ++accepted;
    } catch (const Error& error) {
      EXPECT_NE(error.kind(), ErrorKind::kInternal) << error.what();
    }
  }
  EXPECT_LT(accepted, 1000);
}

// Every parameter of every method is in the schema, with its default.
TEST_F(Recipes, SchemaHoldsEveryParameter) {
  const Json schema = recipe_schema();
  const auto& forms = schema.find("properties")->find("steps")->find("items")->find("oneOf")->as_array("");
  ASSERT_EQ(forms.size(), all_methods().size());
  for (std::size_t i = 0; i < forms.size(); ++i) {
    for (const ParamInfo& info : all_methods()[i]->params()) {
      const Json* param = forms[i].find("properties")->find(info.name);
      ASSERT_NE(param, nullptr) << info.name;
      EXPECT_EQ(*param->find("default"), info.default_value) << info.name;
    }
  }
}

}  // namespace
}  // namespace penjing
