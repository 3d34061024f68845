// penjing finetune as its users run it: what it writes, and what it refuses.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/hash.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "tests/cli/program_run.h"
#include "tests/cli/tiny_folder.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::run_program;

class Finetune : public ::testing::Test {
 protected:
  fs::path work_ =
      fs::path(::testing::TempDir()) / ("penjing_finetune_" + std::to_string(::getpid()) + "_" +
                                        ::testing::UnitTest::GetInstance()->current_test_info()->name());
  void SetUp() override {
    if (!fs::exists(fs::path(PENJING_BINARY_DIR) / "penjing-train")) {
      GTEST_SKIP() << "built without PENJING_TRAIN";
    }
    fs::create_directories(work_ / "data");
    testing::write_tiny_folder(work_ / "model", testing::TinyHead::kSentence);
    // A cat or a dog, in sentences of some length: a task that the tiny model learns.
    const char* places[] = {"the mat", "a house", "the big house", "a red mat .", "the red house ,"};
    std::ofstream train(work_ / "data/train.tsv"), dev(work_ / "data/dev.tsv");
    for (std::ofstream* file : {&train, &dev}) *file << "sentence\tlabel\n";
    for (int i = 0; i < 40; ++i) {
      (i % 5 == 4 ? dev : train) << (i % 2 == 0 ? "the cat sat on " : "a dog ran in ") << places[i % 5]
                                 << "\t" << (i % 2 == 0 ? "cat" : "dog") << "\n";
    }
  }
  void TearDown() override { fs::remove_all(work_); }
  std::string path(const std::string& name) const { return (work_ / name).string(); }
  ProgramResult finetune(std::vector<std::string> more) const {
    std::vector<std::string> arguments = {"finetune", path("model"), "--data", path("data"),
                                          "--out",    path("out"),   "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program({arguments});
  }
};

TEST_F(Finetune, WhatItTrainsIsAModelThatTheRuntimeRuns) {
  const ProgramResult help = run_program({{"finetune", "--help"}});
  EXPECT_EQ(help.status, 0);
  EXPECT_NE(help.out.find("penjing finetune "), std::string::npos);

  const ProgramResult trained = finetune({"--task", "classification", "--epochs", "8", "--batch-size", "4",
                                          "--learning-rate", "2e-3", "--dump-step", path("dump"), "--json"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  const Json report = Json::parse(trained.out, "report");
  EXPECT_EQ(report.find("steps")->as_int("steps"), 64);
  const auto& evaluations = report.find("evaluations")->as_array("evaluations");
  ASSERT_EQ(evaluations.size(), 8u);
  EXPECT_EQ(evaluations.back().find("scores")->find("accuracy")->as_double("accuracy"), 1);

  // The same score by the runtime, and the classes by name.
  const ProgramResult scored = run_program({{"eval", path("out"), "--task", "classification", "--data",
                                             path("data"), "--split", "dev", "--json"}});
  EXPECT_EQ(scored.status, 0) << scored.err;
  const ProgramResult classified = run_program({{"classify", path("out"), "a dog ran in the house"}});
  EXPECT_EQ(classified.status, 0) << classified.err;
  EXPECT_NE(classified.out.find("dog"), std::string::npos) << classified.out;

  // The first ten steps: the loss of two balanced classes begins near ln 2.
  std::ifstream steps(path("dump/steps.jsonl"));
  std::string line;
  int count = 0;
  for (; std::getline(steps, line); ++count) {
    const Json step = Json::parse(line, "steps.jsonl");
    EXPECT_EQ(step.find("examples")->as_array("").size(), 4u);
    EXPECT_EQ(step.find("ids")->as_array("").size(), 4u);
    if (count == 0) {
      EXPECT_NEAR(step.find("loss")->as_double("loss"), std::log(2.0), 0.3);
    }
  }
  EXPECT_EQ(count, 10);
  EXPECT_TRUE(fs::exists(path("dump/gradients.safetensors")));
  EXPECT_TRUE(fs::exists(path("dump/parameters.safetensors")));
}

TEST_F(Finetune, ADryRunTellsHowLongItTakesAndWritesNothing) {
  const ProgramResult tried =
      finetune({"--task", "classification", "--epochs", "8", "--batch-size", "4", "--dry-run", "--json"});
  ASSERT_EQ(tried.status, 0) << tried.err;
  const Json report = Json::parse(tried.out, "report");
  EXPECT_EQ(report.find("steps")->as_int("steps"), 64);
  EXPECT_EQ(report.find("measured_steps")->as_int("measured_steps"), 10);
  const double step = report.find("seconds_per_step")->as_double("seconds_per_step");
  EXPECT_GT(step, 0);
  EXPECT_NEAR(report.find("seconds")->as_double("seconds"), 64 * step, 1e-9 + 1e-6 * step);
  EXPECT_FALSE(fs::exists(path("out")));
  EXPECT_FALSE(fs::exists(path("out.training")));

  // As much disk as the checkpoints of the run itself: two are kept and one is written.
  const ProgramResult trained =
      finetune({"--task", "classification", "--epochs", "8", "--batch-size", "4", "--save-steps", "30"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  int64_t bytes = 0;
  int checkpoints = 0;
  for (const auto& entry : fs::directory_iterator(path("out.training"))) {
    if (!entry.is_directory()) continue;
    for (const auto& file : fs::recursive_directory_iterator(entry)) {
      if (file.path().extension() == ".safetensors") bytes += static_cast<int64_t>(file.file_size());
    }
    ++checkpoints;
  }
  EXPECT_EQ(checkpoints, 2);
  const int64_t told = report.find("checkpoint_bytes")->as_int("checkpoint_bytes");
  EXPECT_GE(bytes * 3 / 2, told);
  EXPECT_LE(bytes * 3 / 2, told + told / 2);  // the headers, large beside so small a model
  EXPECT_EQ(finetune({"--task", "classification", "--dry-run", "--seeds", "1,2"}).status, 2);
}

TEST_F(Finetune, TrainedForIntegersTheResultIsWhatQuantizeWouldWrite) {
  for (const std::string range : {"token", "average", "learned"}) {
    fs::remove_all(path("out"));
    fs::remove_all(path("out.training"));
    const ProgramResult trained =
        finetune({"--task", "classification", "--epochs", "8", "--batch-size", "4", "--learning-rate", "2e-3",
                  "--quantize-aware", "w8a8", "--activation-range", range, "--json"});
    ASSERT_EQ(trained.status, 0) << trained.err;
    const Json report = Json::parse(trained.out, "report");
    const double in_training = report.find("evaluations")
                                   ->as_array("evaluations")
                                   .back()
                                   .find("scores")
                                   ->find("accuracy")
                                   ->as_double("accuracy");
    EXPECT_EQ(in_training, 1) << range;
    const ProgramResult inspected = run_program({{"inspect", path("out")}});
    EXPECT_NE(inspected.out.find("I8"), std::string::npos) << inspected.out;
    const ProgramResult scored =
        run_program({{"eval", path("out"), "--task", "classification", "--data", path("data"), "--split",
                      "dev", "--predictions", path("predictions.jsonl"), "--json"}});
    ASSERT_EQ(scored.status, 0) << scored.err;
    // The runtime's integers say of every example what the trainer said.
    const std::string said = read_text_file(path("predictions.jsonl"), 1 << 20);
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 8);
    EXPECT_EQ(said, read_text_file(path("out.training/predictions.jsonl"), 1 << 20)) << range;
    EXPECT_EQ(Json::parse(scored.out, "scores")
                  .find("metrics")
                  ->find("accuracy")
                  ->find("value")
                  ->as_double("value"),
              1)
        << range;
  }
}

// Training, then what quantize does: stopped on the way and resumed, the bytes are those of a run that was
// not.
TEST_F(Finetune, IsAStepOfARecipe) {
  std::ofstream(path("recipe.json")) << R"({"model": "./model", "eval": [{"task": "classification",
    "data": "data", "split": "dev"}], "goals": [{"metric": "classification.accuracy", "value": 1}],
    "steps": [{"method": "finetune", "task": "classification", "data": "data", "epochs": 30, "batch_size": 2,
    "learning_rate": 2e-3, "save_steps": 20}, {"method": "quantize"}]})";
  const ProgramResult whole = run_program({{"run", path("recipe.json"), "--out", path("whole"), "--json"}});
  ASSERT_EQ(whole.status, 0) << whole.err;

  testing::ProgramRun stopped{{"run", path("recipe.json"), "--out", path("run")}};
  stopped.interrupt_when = [folder = path("run/work")] { return testing::holds_checkpoint(folder); };
  ASSERT_EQ(run_program(stopped).status, 130) << "never stopped in training";
  const ProgramResult status = run_program({{"status", path("run")}});
  EXPECT_NE(status.out.find("1-finetune"), std::string::npos) << status.out << status.err;
  const ProgramResult resumed = run_program({{"resume", path("run")}});
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_EQ(sha256_file(path("run/model/model.safetensors")),
            sha256_file(path("whole/model/model.safetensors")));
  EXPECT_TRUE(fs::is_empty(path("run/work")));  // a finished step needs no checkpoint
  // What the step learns from is part of what it was made from.
  std::ofstream(path("data/train.tsv"), std::ios::app) << "the red cat\tcat\n";
  const ProgramResult changed = run_program({{"status", path("run")}});
  EXPECT_NE(changed.out.find("to do"), std::string::npos) << changed.out;
}

TEST_F(Finetune, SeveralSeedsAreSummarised) {
  const std::vector<std::string> settings = {
      "--task", "classification", "--epochs",        "2",   "--batch-size", "4", "--seeds",
      "1,7",    "--json",         "--learning-rate", "1e-3"};
  const ProgramResult trained = finetune(settings);
  ASSERT_EQ(trained.status, 0) << trained.err;
  const Json report = Json::parse(trained.out, "report");
  ASSERT_EQ(report.find("runs")->as_array("runs").size(), 2u);
  EXPECT_NE(sha256_file(path("out/seed-1/model.safetensors")),
            sha256_file(path("out/seed-7/model.safetensors")));
  const Json& accuracy = *report.find("scores")->find("accuracy");
  double sum = 0;
  for (const Json& run : report.find("runs")->as_array("runs")) {
    sum += run.find("evaluations")->as_array("").back().find("scores")->find("accuracy")->as_double("");
  }
  EXPECT_NEAR(accuracy.find("mean")->as_double("mean"), sum / 2, 1e-12);
  // Done ones are kept.
  std::vector<std::string> more = settings;
  more.emplace_back("--resume");
  more[7] = "1,7,8";
  const ProgramResult resumed = finetune(more);
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_TRUE(fs::exists(path("out/seed-8/model.safetensors")));
}

TEST_F(Finetune, WrongSettingsAreRefusedBeforeAnyStep) {
  for (const auto& [options, said] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--task", "no-such-task"}, "no-such-task"},
           {{"--task", "regression"}, "cat"},
           {{"--task", "classification", "--group", "classifier:rate=x"}, "rate"},
           {{"--task", "classification", "--group", "nothing_has_this_name:frozen"}, "nothing_has_this_name"},
           {{"--task", "classification", "--group", ".:frozen"}, "frozen"},
           {{"--task", "classification", "--schedule", "polynomial"}, "polynomial"},
           {{"--task", "classification", "--precision", "fp5"}, "fp5"},
           {{"--task", "classification", "--quantize-aware", "w9a9"}, "w9a9"},
           {{"--task", "tokens", "--param", "no_such_setting=1"}, "no_such_setting"},
           {{"--task", "classification", "--param", "shots"}, "NAME=VALUE"},
           {{"--task", "classification", "--label-smoothing", "2"}, "smoothing"}}) {
    const ProgramResult result = finetune(options);
    EXPECT_TRUE(result.status == 2 || result.status == 4) << result.status << " " << result.err;
    EXPECT_NE(result.err.find(said), std::string::npos) << said << ": " << result.err;
    EXPECT_FALSE(fs::exists(path("out")));
  }
  fs::create_directories(path("out"));
  std::ofstream(path("out/file")) << "mine";
  const ProgramResult there = finetune({"--task", "classification"});
  EXPECT_EQ(there.status, 2) << there.err;
}

}  // namespace
}  // namespace penjing
