// penjing distill as its users run it: the plan before any work, and a run that goes on to the same bytes.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/hash.h"
#include "base/json.h"
#include "tests/cli/tiny_training_test.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::run_program;

class DistillCommand : public testing::TinyTrainingTest {
 protected:
  void SetUp() override {
    testing::TinyTrainingTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_NO_FATAL_FAILURE(teach());
  }
  ProgramResult distill(const std::string& out, const std::vector<std::string>& more,
                        bool interrupt = false) const {
    return train(
        {"distill", path("model"), "--teacher", path("teacher"), "--epochs", "15", "--answers", "none"}, out,
        more, interrupt);
  }
};

TEST_F(DistillCommand, ADryRunAsksTheTeacherForAFewAnswersOnly) {
  const ProgramResult tried = distill("out", {"--dry-run"});
  ASSERT_EQ(tried.status, 0) << tried.err;
  for (const char* part : {"the teacher's answers: 32 examples", "to ask for them takes about",
                           "120 steps at", "nothing was written"})
    EXPECT_NE(tried.out.find(part), std::string::npos) << tried.out;
  EXPECT_FALSE(fs::exists(path("out.training")));
}

TEST_F(DistillCommand, ExplainsThePlanBeforeAnyWork) {
  const ProgramResult help = run_program({{"distill", "--help"}});
  EXPECT_NE(help.out.find("penjing distill "), std::string::npos);
  const ProgramResult plan = distill("out", {"--losses", "kd,pkd", "--explain"});
  EXPECT_EQ(plan.status, 0) << plan.err;
  for (const char* part : {"kd", "pkd", "1-1"}) EXPECT_NE(plan.out.find(part), std::string::npos) << plan.out;
  EXPECT_FALSE(fs::exists(path("out.training")));
  std::ofstream(path("plan.json")) << R"([{"loss": "rkd", "weight": 2}])";
  const ProgramResult file = distill("out", {"--losses", "@" + path("plan.json"), "--explain"});
  EXPECT_NE(file.out.find("rkd"), std::string::npos) << file.out << file.err;
  EXPECT_EQ(distill("out", {"--losses", "kdd"}).status, 2);
}

// The memory bank of crd is part of the state.
TEST_F(DistillCommand, GoesOnToTheSameBytes) {
  const std::vector<std::string> plan = {
      "--losses", R"(["kd", {"loss": "crd", "params": {"of": "first"}}, "fitnet"])", "--save-steps", "10"};
  const ProgramResult whole = distill("whole", plan);
  ASSERT_EQ(whole.status, 0) << whole.err;
  ASSERT_EQ(distill("out", plan, true).status, 130) << "never stopped in training";
  std::vector<std::string> resume = plan;
  resume.emplace_back("--resume");
  const ProgramResult resumed = distill("out", resume);
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_EQ(sha256_file(path("out/model.safetensors")), sha256_file(path("whole/model.safetensors")));
}

// A teacher beside the recipe, with quantized weights, which the runtime is asked for; another one in its
// place is other work.
TEST_F(DistillCommand, ARecipesTeacherIsRelativeToIt) {
  fs::create_directories(path("recipes"));
  std::ofstream(path("recipes/small.json")) << R"({"model": "../teacher", "steps": [
      {"method": "student", "layers": 1},
      {"method": "distill", "teacher": "./quick", "task": "classification", "data": "../data", "epochs": 2,
       "batch_size": 4, "learning_rate": 1e-3, "answers": "none"}]})";
  const auto quantize = [&](const char* scheme) {
    fs::remove_all(path("recipes/quick"));
    const ProgramResult done = run_program(
        {{"quantize", path("teacher"), "--scheme", scheme, "--out", path("recipes/quick"), "--quiet"}});
    ASSERT_EQ(done.status, 0) << done.err;
  };
  const auto run = [&] {
    const ProgramResult done = run_program({{"run", path("recipes/small.json"), "--out", path("run")}});
    EXPECT_EQ(done.status, 0) << done.err;
    return done.out + done.err;
  };
  const char* kRuntime = "the inference runtime asks it";
  ASSERT_NO_FATAL_FAILURE(quantize("w8a8"));
  EXPECT_NE(run().find(kRuntime), std::string::npos);
  const std::string first = sha256_file(path("run/model/model.safetensors"));
  EXPECT_EQ(run().find(kRuntime), std::string::npos) << "done already";
  ASSERT_NO_FATAL_FAILURE(quantize("w4a16"));
  EXPECT_NE(run().find(kRuntime), std::string::npos);
  EXPECT_NE(sha256_file(path("run/model/model.safetensors")), first);
}

// A student of another kind: made, taught without labels, run, quantized; and a second one taught by labels
// alone.
TEST_F(DistillCommand, TeachesABiLstm) {
  const ProgramResult made = run_program({{"student", path("teacher"), "--method", "bilstm", "--units", "10",
                                           "--embedding", "16", "--dense", "8", "--out", path("bilstm")}});
  ASSERT_EQ(made.status, 0) << made.err;
  const std::vector<std::string> how = {"--task", "classification", "--data", path("data"),      "--epochs",
                                        "12",     "--batch-size",   "4",      "--learning-rate", "1e-2",
                                        "--quiet"};
  std::vector<std::string> distil = {"distill",        path("bilstm"),
                                     "--teacher",      path("teacher"),
                                     "--out",          path("taught"),
                                     "--losses",       R"([{"loss": "mse", "params": {"of": "logits"}}])",
                                     "--label-weight", "0",
                                     "--answers",      "none"};
  std::vector<std::string> finetune = {"finetune", path("bilstm"), "--out", path("tuned")};
  for (auto* command : {&distil, &finetune}) {
    command->insert(command->end(), how.begin(), how.end());
    const ProgramResult trained = run_program({*command});
    ASSERT_EQ(trained.status, 0) << trained.err;
  }
  const ProgramResult small = run_program({{"quantize", path("taught"), "--out", path("int8")}});
  ASSERT_EQ(small.status, 0) << small.err;
  for (const char* model : {"taught", "tuned", "int8"}) {
    const ProgramResult scored = run_program({{"eval", path(model), "--task", "classification", "--data",
                                               path("data"), "--split", "dev", "--json"}});
    ASSERT_EQ(scored.status, 0) << scored.err;
    const Json json = Json::parse(scored.out, "out");
    EXPECT_EQ(json.find("metrics")->find("accuracy")->find("value")->as_double(""), 1) << model;
  }
  EXPECT_EQ(run_program({{"classify", path("int8"), "the cat sat"}}).out.find("0"), 0u);
  const ProgramResult inspected = run_program({{"inspect", path("taught")}});
  EXPECT_NE(inspected.out.find("recurrent"), std::string::npos) << inspected.out << inspected.err;
}

}  // namespace
}  // namespace penjing
