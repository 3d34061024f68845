#include "distill/plan.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "distill/turns.h"

namespace penjing::distill {
namespace {

ModelShape shape(int64_t layers, int64_t width, int64_t heads, int64_t logits = 2) {
  return {std::vector<int64_t>(static_cast<std::size_t>(layers) + 1, width),
          std::vector<int64_t>(static_cast<std::size_t>(layers), heads), logits, width};
}

const ModelShape kStudent = shape(3, 312, 12), kTeacher = shape(6, 768, 12);

Plan plan_of(const char* losses, const ModelShape& student = kStudent, const ModelShape& teacher = kTeacher) {
  return read_plan(Json::parse(losses, "plan"), student, teacher);
}

std::string error_of(const char* losses, const ModelShape& student = kStudent,
                     const ModelShape& teacher = kTeacher) {
  try {
    plan_of(losses, student, teacher);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput) << error.what();
    return error.what();
  }
  ADD_FAILURE() << losses << " was taken";
  return "";
}

TEST(Plan, DefaultsAreWrittenBack) {
  const Plan plan = plan_of(R"([{"loss": "kd", "weight": 0.9}, {"loss": "mse"}, {"loss": "minilm",
      "params": {"relation_heads": 24}}])");
  ASSERT_EQ(plan.terms.size(), 3u);
  const Json json = to_json(plan);
  EXPECT_EQ(
      json.as_array("")[0].dump(),
      R"({"loss":"kd","name":"kd","params":{"temperature":4.0,"form":"kl","square":true,"over":"rows"},)"
      R"("weight":0.9,"ramp":0.0,"from":0.0,"to":1.0})");
  EXPECT_EQ(json.as_array("")[1].dump(),
            R"({"loss":"mse","name":"mse","params":{"of":"rows","over":"elements","matryoshka":[],)"
            R"("matryoshka_weights":[]},"weight":1.0,"ramp":0.0,)"
            R"("from":0.0,"to":1.0,"layers":[[1,2],[2,4],[3,6]],"reduce":"sum","projection":{"name":"mse",)"
            R"("per_layer":true,"bias":true,"init":"normal","deviation":0.02}})");
  EXPECT_EQ(json.as_array("")[2].find("layers")->dump(), "[[3,6]]");
}

TEST(Plan, RelationsAreOfTheLastLayerByDefault) {
  for (const char* name : {"sp", "cc", "rkd", "pkt", "crd"}) {
    const Plan plan = plan_of((R"([{"loss": ")" + std::string(name) + R"("}])").c_str());
    EXPECT_EQ(plan.terms[0].layers.pairs, (std::vector<LayerPair>{{3, 6}})) << name;
  }
  EXPECT_EQ(plan_of(R"([{"loss": "attention_mse"}])").terms[0].layers.num_places(), 3u);
  EXPECT_EQ(plan_of(R"([{"loss": "pkd"}])").terms[0].layers.num_places(), 3u);
}

TEST(Plan, ReadsBackWhatItWrites) {
  const Plan plan = plan_of(R"([
      {"loss": "mse", "name": "embeddings", "layers": [[0, 0]], "to": 0.8,
       "projection": {"name": "fit", "per_layer": false, "init": "svd"}},
      {"loss": "mse", "name": "hidden", "to": 0.8, "projection": {"name": "fit", "per_layer": false, "init": "svd"}},
      {"loss": "attention_mse", "to": 0.8, "heads": [[0, 1], [11, 0]], "reduce": "mean"},
      {"loss": "kd", "from": 0.8, "weight": [0, 1], "ramp": 0.05, "params": {"temperature": 1}},
      {"loss": "cosine", "layers": "attention", "weight": [1, 0]}])");
  const Json json = to_json(plan);
  EXPECT_EQ(to_json(read_plan(Json::parse(json.dump(), "plan"), kStudent, kTeacher)).dump(), json.dump());
  EXPECT_TRUE(plan.terms[2].mean_over_layers);
  EXPECT_EQ(plan.terms[2].heads.pairs, (std::vector<LayerPair>{{0, 1}, {11, 0}}));
  EXPECT_EQ(plan.terms[4].ramp, 1);
}

TEST(Plan, WeightsFollowStagesAndRamps) {
  const Plan plan = plan_of(R"([{"loss": "kd", "weight": [2, 4], "from": 0.25, "to": 0.75, "ramp": 0.25},
      {"loss": "mse", "weight": [0, 1]}, {"loss": "fsp", "to": 0.25, "weight": 3}])");
  const LossTerm& kd = plan.terms[0];
  EXPECT_EQ(weight_at(kd, 0.2), 0);
  EXPECT_EQ(weight_at(kd, 0.25), 2);
  EXPECT_EQ(weight_at(kd, 0.375), 3);
  EXPECT_EQ(weight_at(kd, 0.5), 4);
  EXPECT_EQ(weight_at(kd, 0.7499), 4);
  EXPECT_EQ(weight_at(kd, 0.75), 0);
  EXPECT_EQ(weight_at(plan.terms[1], 0.3), 0.3);
  EXPECT_EQ(weight_at(plan.terms[1], 1), 1);  // the end of the training is in a stage that goes to 1
  EXPECT_EQ(weight_at(plan.terms[2], 0), 3);
  EXPECT_EQ(weight_at(plan.terms[2], 0.25), 0);
}

TEST(Plan, ProjectsWhereWidthsDiffer) {
  EXPECT_TRUE(plan_of(R"([{"loss": "pkd"}])").terms[0].projection);
  EXPECT_FALSE(plan_of(R"([{"loss": "pkd"}])", shape(3, 768, 12)).terms[0].projection);
  EXPECT_TRUE(plan_of(R"([{"loss": "pkd", "projection": true}])", shape(3, 768, 12)).terms[0].projection);
  EXPECT_FALSE(plan_of(R"([{"loss": "nst"}])").terms[0].projection);  // compares tokens
  EXPECT_TRUE(plan_of(R"([{"loss": "cosine", "params": {"of": "embeddings"}}])").terms[0].projection);
  EXPECT_EQ(error_of(R"([{"loss": "pkd", "projection": false}])"),
            "losses.0.projection: false, but widths are 312 and 768 of the teacher");
  EXPECT_EQ(error_of(R"([{"loss": "vid", "projection": true}])"),
            "losses.0.projection: vid compares no rows of equal width");
  EXPECT_EQ(error_of(R"([{"loss": "mse", "params": {"of": "logits"}}])", kStudent, shape(6, 768, 12, 3)),
            "losses.0: mse wants as many logits of both, but there are 2 and 3");
}

TEST(Plan, HeadsMustFit) {
  const ModelShape four = shape(3, 312, 4), five = shape(3, 320, 5);
  EXPECT_EQ(plan_of(R"([{"loss": "attention_kl", "heads": "mean"}])", four).terms[0].heads.rule, "mean");
  EXPECT_EQ(
      error_of(R"([{"loss": "attention_kl"}])", four),
      "losses.0.heads: student's layer 1 has 4 heads, teacher's layer 2 has 12; wanted as many, \"mean\" or "
      "pairs [[student, teacher], ...]");
  EXPECT_EQ(
      error_of(R"([{"loss": "attention_kl", "heads": "mean"}])", five),
      "losses.0.heads: student's layer 1 has 5 heads, teacher's layer 2 has 12: \"mean\" wants groups of one "
      "size");
  EXPECT_EQ(
      error_of(R"([{"loss": "attention_mse", "heads": [[4, 0]]}])", four),
      "losses.0.heads: [4, 0], but student's layer 1 has 4 heads, teacher's layer 2 has 12 (the first is 0)");
  EXPECT_EQ(error_of(R"([{"loss": "minilm"}])", four),
            "losses.0.heads: student's layer 3 has 4 heads, teacher's layer 6 has 12; choose relation_heads");
  EXPECT_EQ(error_of(R"([{"loss": "kd", "heads": "mean"}])"),
            "losses.0.heads: kd compares no attention head by head");
}

TEST(Plan, ErrorsNameTheKey) {
  EXPECT_EQ(error_of(R"([{"loss": "kd"}, {"loss": "rkt"}])"),
            "losses.1.loss: \"rkt\"; did you mean \"rkd\"?");
  EXPECT_EQ(error_of(R"([{"loss": "kd", "wieght": 1}])"),
            "losses.0: unknown key \"wieght\"; did you mean \"weight\"?");
  EXPECT_EQ(error_of(R"([{"loss": "kd", "params": {"tau": 1}}])").substr(0, 42),
            "losses.0.params: kd: unknown parameter \"ta");
  EXPECT_EQ(error_of(R"([{"loss": "kd", "params": {"temperature": 0}}])"),
            "losses.0.params: kd: temperature: wanted a number in [0.01, 1000], found 0");
  EXPECT_EQ(error_of(R"([{"loss": "minilm", "params": {"relations": ["values"]}}])"),
            "losses.0.params: minilm: relations: \"values\", wanted query, key, value or attention");
  EXPECT_EQ(error_of(R"([{"loss": "kd", "layers": "uniform"}])"),
            "losses.0.layers: kd reads no layers, but logits");
  EXPECT_EQ(error_of(R"([{"loss": "attention_kl", "layers": [[0, 1]]}])"),
            "losses.0.layers: layer 0, the embeddings, has no attention");
  EXPECT_EQ(error_of(R"([{"loss": "minilm", "layers": "attention"}])"),
            "losses.0.layers: a mixture of layers has no queries, keys and values, which minilm reads");
  EXPECT_EQ(error_of(R"([{"loss": "kd", "from": 0.5, "to": 0.5}])"),
            "losses.0: from 0.5 to 0.5 is no stage of the training");
  EXPECT_EQ(error_of(R"([{"loss": "kd", "ramp": 0.1}])"),
            "losses.0.ramp: 0.1, but the weight is one number; wanted [start, end]");
  EXPECT_EQ(error_of(R"([{"loss": "kd", "weight": -1}])"),
            "losses.0.weight: -1, wanted a number from 0 to 1000000000");
  EXPECT_EQ(error_of(R"([{"loss": "kd"}, {"loss": "kd"}])"),
            "losses.1.name: there is a loss \"kd\" already; give this another");
  EXPECT_EQ(
      error_of(R"([{"loss": "mse", "projection": {"init": "random"}}])"),
      "losses.0.projection.init: \"random\", wanted \"normal\", \"identity\", \"svd\", \"least_squares\"");
  EXPECT_EQ(error_of(R"([{"loss": "mse", "name": "a", "projection": {"name": "fit"}},
                         {"loss": "mse", "name": "b", "projection": {"name": "fit", "per_layer": false}}])"),
            "losses.1.projection: \"fit\" is shared with losses.0: both want per_layer false and the same "
            "fields and "
            "widths");
  EXPECT_EQ(error_of(R"([{"loss": "mse"}])", kStudent, {{0}, {}, 2, 2}),
            "losses.0.layers: mse reads hidden states, but the teacher has no layers (answers in a file?)");
  EXPECT_EQ(error_of("[]"), "losses: [], wanted a list of losses");
}

// MobileBERT's progressive transfer: a window for each layer, what lies before it at a tenth of the rate.
TEST(Plan, LayersTakeTurns) {
  const Plan plan = plan_of(R"([
      {"loss": "feature_map", "progressive": true, "reduce": "mean", "weight": 6, "from": 0.1, "to": 0.7},
      {"loss": "attention_kl", "progressive": true, "layers": [[3, 6], [1, 2]], "earlier_rate": 0.5, "to": 0.5},
      {"loss": "kd", "from": 0.9}])");
  ASSERT_EQ(plan.terms.size(), 6u);
  EXPECT_EQ(plan.terms[0].name, "feature_map_1");
  EXPECT_EQ(plan.terms[2].name, "feature_map_3");
  EXPECT_EQ(plan.terms[2].layers.pairs, (std::vector<LayerPair>{{3, 6}}));
  EXPECT_EQ(plan.terms[1].weight, 2);  // the mean of three layers
  EXPECT_EQ(plan.terms[1].projection->name, "feature_map_2");
  EXPECT_EQ(plan.terms[3].name, "attention_kl_1");  // the lower layer first
  EXPECT_EQ(plan.terms[3].weight, 1);
  for (const double progress : {0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.7, 0.8}) {
    int count = 0;
    for (int i = 0; i < 3; ++i) count += weight_at(plan.terms[i], progress) > 0 ? 1 : 0;
    EXPECT_EQ(count, progress >= 0.1 && progress < 0.7 ? 1 : 0) << progress;
  }
  EXPECT_GT(weight_at(plan.terms[0], 0.299), 0);
  EXPECT_GT(weight_at(plan.terms[1], 0.301), 0);
  EXPECT_GT(weight_at(plan.terms[2], 0.501), 0);

  EXPECT_EQ(rate_of_layer(plan, 0, 0.05), 0.5);  // attention_kl_1 alone
  EXPECT_EQ(rate_of_layer(plan, 1, 0.05), 1);
  EXPECT_EQ(rate_of_layer(plan, 1, 0.4), 0.5);  // feature_map_2 says 0.1, attention_kl_3 0.5
  EXPECT_EQ(rate_of_layer(plan, 2, 0.4), 1);    // of feature_map_2 itself
  EXPECT_EQ(rate_of_layer(plan, 2, 0.6), 0.1);
  EXPECT_EQ(rate_of_layer(plan, 3, 0.6), 1);
  EXPECT_EQ(rate_of_layer(plan, 0, 0.8), 1);   // nothing counts
  EXPECT_EQ(rate_of_layer(plan, 0, 0.95), 1);  // kd
  EXPECT_TRUE(has_turns(plan));
  EXPECT_FALSE(has_turns(plan_of(R"([{"loss": "kd"}, {"loss": "pkd", "progressive": false}])")));

  const Json json = to_json(plan);
  EXPECT_EQ(json.as_array("")[2].find("earlier_rate")->as_double(""), 0.1);
  EXPECT_EQ(to_json(read_plan(Json::parse(json.dump(), "plan"), kStudent, kTeacher)).dump(), json.dump());
  EXPECT_NE(explain(plan, kStudent, kTeacher).find("30-50 %, earlier layers x0.1"), std::string::npos);
}

TEST(Plan, TurnsThatCannotBeTakenAreNamed) {
  EXPECT_EQ(error_of(R"([{"loss": "kd", "progressive": true}])"),
            "losses.0.progressive: wants pairs of layers; kd has none");
  EXPECT_EQ(error_of(R"([{"loss": "kd", "earlier_rate": 0.1}])"),
            "losses.0.earlier_rate: wants pairs of layers; kd has none");
  EXPECT_EQ(error_of(R"([{"loss": "cosine", "progressive": true, "layers": "attention"}])"),
            "losses.0.progressive: wants pairs of layers; cosine has a mixture of them");
  EXPECT_EQ(error_of(R"([{"loss": "pkd", "progressive": true, "weight": [0, 1]}])"),
            "losses.0.progressive: wants a weight that is one number");
  EXPECT_EQ(error_of(R"([{"loss": "pkd", "progressive": 3}])"),
            "losses.0.progressive: 3, wanted true or false");
  EXPECT_EQ(error_of(R"([{"loss": "pkd", "earlier_rate": 1.5}])"),
            "losses.0.earlier_rate: 1.5, wanted a number from 0 to 1");
  // A term that is several keeps the number that the user gave it.
  EXPECT_EQ(error_of(R"([{"loss": "pkd", "progressive": true}, {"loss": "kd", "from": 2}])"),
            "losses.1.from: 2, wanted a number from 0 to 1");
}

TEST(Plan, ExplainsItselfAsATable) {
  const Plan plan = plan_of(R"([{"loss": "kd", "weight": [0, 0.5], "ramp": 0.1, "params": {"temperature": 2}},
      {"loss": "mse", "name": "hidden", "to": 0.5,
       "projection": {"name": "fit", "per_layer": false, "bias": false}}])");
  const std::string text = explain(plan, kStudent, kTeacher);
  for (const char* part : {"kd", "logits", "0 -> 0.5 in 10 %", "temperature=2", "hidden (mse)",
                           "hidden states", "uniform: 1-2 2-4 3-6 (sum)",
                           "312->768 normal, no bias, shared \"fit\"", "0-50 %", "of=rows over=elements"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

}  // namespace
}  // namespace penjing::distill
