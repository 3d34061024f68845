// The method "distill" on tiny models: what a student learns is what the teacher says.
#include "distill/distill.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "data/npy.h"
#include "distill/methods.h"
#include "io/model_folder.h"
#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"
#include "tests/distill/applied_step.h"
#include "tests/distill/tiny_task.h"
#include "train/finetune.h"

namespace penjing {
namespace {

using testing::kQuiet;

class Distill : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("PENJING_CACHE", (work_ / "cache").c_str(), 1);
    testing::write_tiny_folder(work_ / "model", testing::TinyHead::kSentence);
    testing::write_task(work_.path(), testing::kCatsAndDogs, 24, {"a cat sat\t0", "the dog ran\t1"});
  }
  train::FinetuneSettings training(const std::string& out) const {
    return testing::tiny_training(work_.path(), out, 6);
  }
  distill::DistillSettings settings(const std::string& out, const std::string& teacher) const {
    distill::DistillSettings s;
    s.training = training(out);
    s.teacher = teacher;
    return s;
  }
  // Says the contrary of the labels.
  std::string write_contrary(const std::string& name) const {
    const auto file = work_ / name;
    if (file.extension() == ".npy") {
      NpyWriter writer(file, "<f4", 2);
      for (int i = 0; i < 24; ++i) {
        const std::vector<float> row = {i % 2 == 0 ? -4.f : 4.f, i % 2 == 0 ? 4.f : -4.f};
        writer.write_row(std::as_bytes(std::span(row)));
      }
      writer.commit();
    } else {
      std::ofstream lines(file);
      for (int i = 0; i < 24; ++i) {
        lines << (i % 2 == 0 ? "{\"logits\": [-4, 4]}\n" : "[4, -4.0]\n");
      }
    }
    return file.string();
  }
  static double accuracy(const train::FinetuneResult& result) {
    for (const auto& [name, value] : result.loop.evaluations.back().scores) {
      if (name == "accuracy") return value;
    }
    return -1;
  }
  static std::string refusal(const distill::DistillSettings& settings) {
    return testing::refusal_of([&] { (void)distill::distill(settings, kQuiet); });
  }
  TestFolder work_{::testing::UnitTest::GetInstance()->current_test_info()->name()};
};

TEST_F(Distill, AFileOfAnswersIsATeacher) {
  for (const std::string file : {"answers.npy", "answers.jsonl"}) {
    distill::DistillSettings s = settings("out-" + file, write_contrary(file));
    s.label_weight = 0;
    EXPECT_EQ(accuracy(distill::distill(s, kQuiet)), 0) << file;  // it believed the teacher, not the labels
    s.training.out = work_ / ("labels-" + file);
    s.label_weight = 100;
    EXPECT_EQ(accuracy(distill::distill(s, kQuiet)), 1) << file;
  }
  // Of another number of examples.
  distill::DistillSettings s = settings("few", write_contrary("answers.npy"));
  s.training.data.limit = 10;
  EXPECT_NE(refusal(s).find("24 answers for 10"), std::string::npos) << refusal(s);
  std::ofstream(work_ / "torn.jsonl") << "[1, 2]\n[3]\n";
  s.teacher = (work_ / "torn.jsonl").string();
  EXPECT_NE(refusal(s).find("line 2"), std::string::npos) << refusal(s);
}

TEST_F(Distill, AModelIsATeacherAndItsAnswersAreKept) {
  (void)train::finetune(training("teacher"), kQuiet);
  distill::DistillSettings s = settings("kd", (work_ / "teacher").string());
  s.label_weight = 0;
  const train::FinetuneResult first = distill::distill(s, kQuiet);
  EXPECT_EQ(accuracy(first), 1);
  const auto answers = work_ / "cache/teacher";
  ASSERT_TRUE(std::filesystem::is_directory(answers));
  const auto count = [&] {
    return std::distance(std::filesystem::directory_iterator(answers), std::filesystem::directory_iterator());
  };
  EXPECT_EQ(count(), 1);
  // From the file: the same bits; a teacher asked anew: the same too.
  for (const bool keep : {true, false}) {
    s.training.out = work_ / (keep ? "kept" : "anew");
    s.answers = keep ? distill::KeptAnswers::kExact : distill::KeptAnswers::kNone;
    EXPECT_EQ(distill::distill(s, kQuiet).loop.loss, first.loop.loss);
  }
  EXPECT_EQ(count(), 1);
}

TEST_F(Distill, LayersOfAWiderTeacherAreProjectedAndThrownAway) {
  (void)train::finetune(training("teacher"), kQuiet);
  distill::DistillSettings s = settings("layers", (work_ / "teacher").string());
  s.losses =
      Json::parse(R"([{"loss": "kd"}, {"loss": "mse", "projection": true, "weight": [0, 1], "ramp": 0.5},
    {"loss": "attention_mse"}, {"loss": "minilm"}, {"loss": "crd", "params": {"of": "first"}}])",
                  "losses");
  s.training.loop.epochs = 2;
  std::string told;
  const train::FinetuneResult result = distill::distill(s, [&](const std::string& text) { told += text; });
  EXPECT_EQ(result.loop.steps, 12);
  EXPECT_NE(told.find("minilm"), std::string::npos) << told;
  const Model model = read_model(work_ / "layers");
  for (const auto& [name, tensor] : model.tensors) EXPECT_EQ(name.find("aside"), std::string::npos) << name;
  // The parts of the loss are logged.
  std::ifstream log(work_ / "layers.training/train.jsonl");
  const std::string lines((std::istreambuf_iterator<char>(log)), {});
  EXPECT_NE(lines.find("\"kd\":"), std::string::npos) << lines;
  EXPECT_NE(lines.find("\"crd\":"), std::string::npos) << lines;
}

TEST_F(Distill, TextsAloneTeachEmbeddings) {
  std::ofstream texts(work_ / "texts.txt");
  for (int i = 0; i < 24; ++i)
    texts << (i % 3 == 0 ? "the cat sat on the mat" : "a dog ran in the big house") << "\n";
  texts.close();
  // A student of other weights, a teacher that is another model of the same tokenizer.
  train::FinetuneSettings other = training("teacher");
  other.task = "similarity";
  std::ofstream(work_ / "pairs.tsv")
      << "sentence1\tsentence2\tscore\nthe cat\ta cat\t5\nthe dog\tthe mat\t0\n"
      << "a dog\tthe dog\t4\na house\tthe cat\t1\n";
  other.data.data = work_ / "pairs.tsv";
  other.eval_split = "";
  other.loop.epochs = 20;
  (void)train::finetune(other, kQuiet);
  distill::DistillSettings s = settings("student", (work_ / "teacher").string());
  s.training.task = "texts";
  s.training.data.data = work_ / "texts.txt";
  s.training.eval_split = "";
  const double first = [&] {
    distill::DistillSettings one = s;
    one.training.out = work_ / "one";
    one.training.loop.max_steps = 1;
    return distill::distill(one, kQuiet).loop.loss;
  }();
  s.training.loop.epochs = 20;
  EXPECT_LT(distill::distill(s, kQuiet).loop.loss, first / 4);
  s.label_weight = 1;
  s.training.out = work_ / "labelled";
  EXPECT_NE(refusal(s).find("no labels"), std::string::npos) << refusal(s);
}

TEST_F(Distill, WhatDoesNotFitIsRefused) {
  distill::DistillSettings s = settings("out", (work_ / "model").string());
  EXPECT_NE(refusal(s).find("outputs"), std::string::npos) << refusal(s);  // a teacher without the head
  s.losses = Json::parse(R"([{"loss": "kdd"}])", "losses");
  EXPECT_NE(refusal(s).find("kdd"), std::string::npos) << refusal(s);
  const Method& method = *distill::distillation_methods().front();
  EXPECT_STREQ(method.name, "distill");
  MethodContext context;
  context.work_folder = work_ / "work";
  context.note = kQuiet;
  MethodReport report;
  const Model model = read_model(work_ / "model");
  EXPECT_THROW((void)method.apply(model, resolve_params(method, Json::object({{"task", "classification"}})),
                                  context, report),
               Error);
}

TEST_F(Distill, AsAStepItGivesTheSame) {
  const std::string teacher = write_contrary("answers.npy");
  Json given = testing::two_epochs(work_.path());
  given.set("teacher", teacher);
  given.set("losses", "kd");
  given.set("label_weight", 0);
  const Model stepped =
      testing::apply_step("distill", read_model(work_ / "model"), given, work_ / "work").model;
  distill::DistillSettings s = settings("out", teacher);
  s.losses = Json::parse(R"([{"loss": "kd"}])", "losses");
  s.label_weight = 0;
  s.training.loop.epochs = 2;
  (void)distill::distill(s, kQuiet);
  testing::expect_same_tensors(stepped, read_model(work_ / "out"));
}

}  // namespace
}  // namespace penjing
