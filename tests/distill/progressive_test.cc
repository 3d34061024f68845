// Progressive transfer from masked text: a layer learns in its own window, what lies before it at a part of
// the rate, what comes after it not at all.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "compress/method.h"
#include "distill/distill.h"
#include "io/model_folder.h"
#include "model/new_model.h"
#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"

namespace penjing {
namespace {

class Progressive : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("PENJING_CACHE", (work_ / "cache").c_str(), 1);
    testing::write_tiny_folder(work_ / "student", testing::TinyHead::kMasked);
    const Model student = read_model(work_ / "student");
    Model teacher = new_bert({.layers = 2,
                              .hidden = 32,
                              .heads = heads_of(student),
                              .intermediate = 40,
                              .max_positions = student.description.max_positions,
                              .vocab_size = student.description.embedding.vocab_size},
                             3);
    teacher.side_files = student.side_files;
    write_model(teacher, work_ / "teacher");
    std::ofstream texts(work_ / "texts.txt");
    for (int i = 0; i < 60; ++i)
      texts << (i % 2 == 0 ? "the cat sat on the mat ." : "a dog ran in the big red house .") << "\n";
  }
  static int64_t heads_of(const Model& model) {
    return std::get<AttentionSpec>(model.description.blocks[0].part).num_heads;
  }

  Model train(const std::string& out, const std::string& losses, int64_t steps,
              const std::string& optimizer = "adamw") const {
    (void)loss_of(out, losses, steps, optimizer);
    return read_model(work_ / out);
  }
  // Trains, and gives the loss of the last step.
  double loss_of(const std::string& out, const std::string& losses, int64_t steps,
                 const std::string& optimizer = "adamw") const {
    distill::DistillSettings s;
    s.training.model = (work_ / "student").string();
    s.training.task = "masked-lm";
    s.training.data.data = work_ / "texts.txt";
    s.training.eval_split = "";
    s.training.out = work_ / out;
    s.training.threads = 1;
    s.training.loop.max_steps = steps;
    s.training.loop.batches.batch_size = 8;
    s.training.loop.learning_rate = rate_;
    s.training.loop.warmup = 0;
    s.training.loop.clip_norm = 0;
    s.training.loop.optimizer.name = optimizer;
    s.training.loop.rules.weight_decay = optimizer == "sgd" ? 0 : 0.5;
    s.teacher = (work_ / "teacher").string();
    s.label_weight = 0;
    s.losses = Json::parse(losses, "losses");
    double last = 0;
    (void)distill::distill(
        s, [](const std::string&) {}, [&](const train::StepLog& log) { last = log.loss; });
    return last;
  }
  // Whether any tensor whose name begins so is another than before.
  bool changed(const Model& model, const std::string& prefix) const {
    const Model before = read_model(work_ / "student");
    std::size_t compared = 0;
    bool differs = false;
    for (const auto& [name, tensor] : before.tensors) {
      if (!name.starts_with(prefix)) continue;
      ++compared;
      const Tensor& after = model.tensors.at(name);
      differs = differs || std::memcmp(after.bytes.data(), tensor.bytes.data(), tensor.bytes.size()) != 0;
    }
    EXPECT_GT(compared, 0u) << prefix;
    return differs;
  }
  std::vector<double> movement(const Model& model, const std::string& name) const {
    const std::vector<float> before = read_floats(read_model(work_ / "student").tensors.at(name), name),
                             after = read_floats(model.tensors.at(name), name);
    std::vector<double> moved;
    for (std::size_t i = 0; i < after.size(); ++i) moved.push_back(double{after[i]} - before[i]);
    return moved;
  }
  double rate_ = 1e-2;
  TestFolder work_{::testing::UnitTest::GetInstance()->current_test_info()->name()};
};

TEST_F(Progressive, ALayerLearnsInItsOwnWindow) {
  const std::string losses =
      R"([{"loss": "feature_map", "progressive": true}, {"loss": "attention_kl", "progressive": true}])";
  const Model first = train("first", losses, 1);  // half of the training is before the end of the step
  EXPECT_TRUE(changed(first, "embeddings."));
  EXPECT_TRUE(changed(first, "encoder.layer.0."));
  EXPECT_FALSE(changed(first, "encoder.layer.1."));
  EXPECT_FALSE(changed(first, "cls."));
  const Model both = train("both", losses, 2);
  EXPECT_TRUE(changed(both, "encoder.layer.1."));
  EXPECT_FALSE(changed(both, "cls."));
}

TEST_F(Progressive, WhatLiesBeforeLearnsAtAPartOfTheRate) {
  const auto losses = [](const char* rate) {
    return std::string(R"([{"loss": "feature_map", "layers": [[2, 2]], "earlier_rate": )") + rate + "}]";
  };
  const Model whole = train("whole", losses("1"), 1, "sgd"), tenth = train("tenth", losses("0.1"), 1, "sgd"),
              none = train("none", losses("0"), 1, "sgd");
  for (const char* name : {"embeddings.position_embeddings.weight", "encoder.layer.0.output.dense.weight"}) {
    const std::vector<double> a = movement(whole, name), b = movement(tenth, name);
    double largest = 0, difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      largest = std::max(largest, std::fabs(a[i]));
      difference = std::max(difference, std::fabs(a[i] / 10 - b[i]));
    }
    EXPECT_GT(largest, 1e-5) << name;
    EXPECT_LT(difference, 0.01 * largest) << name;
    EXPECT_FALSE(changed(none, name));
  }
  const std::string own = "encoder.layer.1.output.dense.weight";
  EXPECT_EQ(movement(whole, own), movement(tenth, own));
  EXPECT_TRUE(changed(none, own));
}

// recipes/distill/mobilebert.json without a recipe: a student of bottlenecks beside a teacher of inverted
// ones, which shares embeddings and head with it.
TEST_F(Progressive, AMobileBertFromItsTeacher) {
  const Model tokens = read_model(work_ / "student");
  Model teacher = new_model(Json::object({{"model_type", "mobilebert"},
                                          {"architectures", Json(Json::Array{Json("MobileBertForMaskedLM")})},
                                          {"vocab_size", tokens.description.embedding.vocab_size},
                                          {"embedding_size", 8},
                                          {"hidden_size", 24},
                                          {"num_hidden_layers", 2},
                                          {"num_attention_heads", 2},
                                          {"intra_bottleneck_size", 36},
                                          {"intermediate_size", 40},
                                          {"num_feedforward_networks", 1},
                                          {"normalization_type", "layer_norm"},
                                          {"hidden_act", "gelu"},
                                          {"hidden_dropout_prob", 0.0},
                                          {"attention_probs_dropout_prob", 0.0},
                                          {"initializer_range", 0.2},
                                          {"max_position_embeddings", 64}}),
                            3);
  teacher.side_files = tokens.side_files;
  std::filesystem::remove_all(work_ / "teacher");
  std::filesystem::remove_all(work_ / "student");
  write_model(teacher, work_ / "teacher");
  const Method* method = find_method("student");
  MethodContext context;
  MethodReport report;
  const Json shape = Json::object({{"intra_bottleneck_size", 12},
                                   {"intermediate_size", 20},
                                   {"num_feedforward_networks", 3},
                                   {"normalization_type", "no_norm"},
                                   {"hidden_act", "relu"}});
  const Model student =
      method->apply(read_model(work_ / "teacher"), resolve_params(*method, Json::object({{"config", shape}})),
                    context, report);
  write_model(student, work_ / "student");
  const std::string transfer =
      R"([{"loss": "feature_map", "progressive": true, "reduce": "mean"},
          {"loss": "attention_kl", "progressive": true, "reduce": "mean", "params": {"form": "cross_entropy"}}])";
  rate_ = 3e-3;
  const double first = loss_of("start", transfer, 2), last = loss_of("taught", transfer, 80);
  EXPECT_LT(last, first / 2);
  const Model taught = read_model(work_ / "taught");
  EXPECT_TRUE(changed(taught, "encoder.layer.0.ffn.1."));
  EXPECT_TRUE(changed(taught, "encoder.layer.1.output.bottleneck."));
  EXPECT_TRUE(changed(taught, "embeddings."));
  EXPECT_FALSE(changed(taught, "cls."));
}

// Behind it comes the distribution of masked words, which everything learns.
TEST_F(Progressive, ThenTheMaskedWords) {
  const Model model = train("words", R"([{"loss": "masked_lm", "params": {"temperature": 1}}])", 2);
  EXPECT_TRUE(changed(model, "cls."));
  EXPECT_TRUE(changed(model, "encoder.layer.1."));
}

}  // namespace
}  // namespace penjing
