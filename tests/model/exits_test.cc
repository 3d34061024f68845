// Exits in config.json: what is read, what is refused by name, what they cost.
#include "model/exits.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "model/cost.h"
#include "tests/model/tiny_bert.h"

namespace penjing {
namespace {

constexpr int64_t kHidden = 8, kClasses = 3;

// With a classifier, and exits' tensors behind layer 1.
Model classifier(bool exits) {
  Model model = tiny_bert("bert.");
  Rng rng(3);
  const auto linear = [&](const std::string& name, int64_t out) {
    model.tensors.set(name + ".weight", random_tensor({out, kHidden}, rng));
    model.tensors.set(name + ".bias", random_tensor({out}, rng));
  };
  linear("bert.pooler.dense", kHidden);
  linear("classifier", kClasses);
  model.config.set("architectures", Json(Json::Array{Json("BertForSequenceClassification")}));
  if (exits) {
    linear("exits.1.dense", kHidden);
    linear("exits.1.classifier", kClasses);
    set_exits(model, {1});
  }
  return model;
}

std::string refusal(Model model) {
  try {
    complete_model(model);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kFormat);
    return error.what();
  }
  return "taken";
}

TEST(Exits, AreShapedAsTheClassifier) {
  Model model = classifier(true);
  complete_model(model);
  const std::vector<ExitSpec> exits = read_exits(model);
  ASSERT_EQ(exits.size(), 1u);
  EXPECT_EQ(exits[0].layer, 1);
  EXPECT_EQ(exits[0].value, 2);  // behind the two blocks of the first layer
  EXPECT_EQ(exits[0].head.dense.name, "exits.1.dense");
  EXPECT_EQ(exits[0].head.activation, Activation::kTanh);
  EXPECT_EQ(exits[0].head.projection.name, "exits.1.classifier");
  EXPECT_EQ(exits[0].head.projection.out, kClasses);
  EXPECT_EQ(StoredNames(model)("exits.1.dense.weight"), "exits.1.dense.weight");
  EXPECT_EQ(count_parameters(exits[0]), kHidden * kHidden + kHidden + kHidden * kClasses + kClasses);
  Model plain = classifier(false);
  complete_model(plain);
  EXPECT_TRUE(read_exits(plain).empty());
  EXPECT_FALSE(drop_exits(plain));
  EXPECT_TRUE(drop_exits(model));
  EXPECT_FALSE(model.config.contains("compression_config"));
  EXPECT_EQ(model.tensors.find("exits.1.dense.weight"), nullptr);
  EXPECT_EQ(model.tensors.size(), plain.tensors.size());
  // What compression_config says besides stays.
  Model other = classifier(true);
  complete_model(other);
  use_integer_attention(other);
  EXPECT_EQ(read_exits(other).size(), 1u);
  (void)drop_exits(other);
  EXPECT_TRUE(other.config.contains("compression_config"));
  use_float_attention(other);
  EXPECT_FALSE(other.config.contains("compression_config"));
}

TEST(Exits, MayReadTheMean) {
  Model model = classifier(true);
  set_exits(model, {1}, ExitInput::kMean);
  complete_model(model);
  EXPECT_EQ(model.config.find("compression_config")->dump(),
            R"({"version":1,"exits":{"layers":[1],"input":"mean"}})");
  const std::vector<ExitSpec> exits = read_exits(model);
  ASSERT_EQ(exits.size(), 1u);
  EXPECT_EQ(exits[0].layer, 1);
  EXPECT_EQ(exits[0].input, ExitInput::kMean);
  for (const char* wrong : {R"({"layers":[1]})", R"({"input":"mean"})", R"({"layers":[1],"input":"max"})",
                            R"({"layers":[1],"input":7})"}) {
    Model other = classifier(true);
    other.config.set("compression_config", Json::object({{"exits", Json::parse(wrong, "exits")}}));
    EXPECT_NE(refusal(other).find("wanted layers"), std::string::npos) << wrong << ": " << refusal(other);
  }
}

TEST(Exits, WhatDoesNotFitIsRefused) {
  const auto with = [](Json exits) {
    Model model = classifier(true);
    model.config.set("compression_config", Json::object({{"exits", std::move(exits)}}));
    return model;
  };
  const auto list = [](std::initializer_list<int64_t> layers) {
    Json exits = Json::array();
    for (const int64_t layer : layers) exits.push_back(layer);
    return exits;
  };
  EXPECT_EQ(refusal(classifier(true)), "taken");
  EXPECT_EQ(refusal(with(Json::array())), "taken");
  EXPECT_NE(refusal(with(list({2}))).find("2 after 0; wanted ascending numbers of layers from 1 to 1"),
            std::string::npos);
  EXPECT_NE(refusal(with(list({0}))).find("exits: 0 after"), std::string::npos);
  EXPECT_NE(refusal(with(list({1, 1}))).find("1 after 1"), std::string::npos);
  EXPECT_NE(refusal(with("all")).find("compression_config.exits"), std::string::npos);
  Model missing = classifier(true);
  missing.tensors.erase("exits.1.classifier.weight");
  EXPECT_NE(refusal(missing).find("exits.1.classifier.weight"), std::string::npos) << refusal(missing);
  Model narrow = classifier(true);
  Rng rng(1);
  narrow.tensors.set("exits.1.classifier.weight", random_tensor({kClasses - 1, kHidden}, rng));
  EXPECT_NE(refusal(narrow).find("exits.1.classifier.weight"), std::string::npos) << refusal(narrow);
  Model many = classifier(true);
  many.config.set("problem_type", "multi_label_classification");
  EXPECT_NE(refusal(many).find("one of several classes"), std::string::npos);
  Model headless = tiny_bert("bert.");
  set_exits(headless, {1});
  EXPECT_NE(refusal(headless).find("no classifier"), std::string::npos);
}

TEST(Exits, CostWhatIsMet) {
  Model model = classifier(true);
  complete_model(model);
  const auto exits = read_exits(model);
  const Description& d = model.description;
  constexpr int64_t kTokens = 6, kInner = 12;
  const int64_t layer =
      2 * kTokens * (4 * kHidden * kHidden + 2 * kHidden * kInner) + 4 * kTokens * kTokens * kHidden;
  const int64_t head = 2 * (kHidden * kHidden + kHidden * kClasses);
  EXPECT_EQ(flops_until(d, exits, kTokens, 1, 1), layer + head);
  EXPECT_EQ(flops_until(d, exits, kTokens, 2, 1), 2 * layer + 2 * head);
  EXPECT_EQ(flops_until(d, exits, kTokens, 2, 0), 2 * layer + head);
  int64_t whole = 0;
  for (const PartCost& cost : measure_cost(d, kTokens)) whole += cost.flops;
  EXPECT_EQ(flops_until(d, exits, kTokens, 2, 0), whole);
}

}  // namespace
}  // namespace penjing
