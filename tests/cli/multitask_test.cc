// penjing multitask as its users run it: a run that goes on to the same bytes, of every task.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/hash.h"
#include "base/json.h"
#include "tests/cli/tiny_training_test.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::ProgramRun;
using testing::run_program;

class MultitaskCommand : public testing::TinyTrainingTest {
 protected:
  void SetUp() override {
    testing::TinyTrainingTest::SetUp();
    if (IsSkipped()) return;
    fs::create_directories(work_ / "more");
    for (const char* split : {"train.tsv", "dev.tsv"}) {
      std::ofstream file(work_ / "more" / split);
      file << "sentence\tlabel\n";
      for (int i = 0; i < 12; ++i) file << (i % 2 == 0 ? "a big mat\tlarge\n" : "the red mat\tred\n");
    }
  }
  ProgramResult multitask(const std::string& out, const std::vector<std::string>& more,
                          bool interrupt = false) const {
    ProgramRun run{{"multitask", path("model"), "--tasks", "classification,classification", "--names",
                    "verbs,mats", "--data", path("data"), path("more"), "--out", path(out), "--epochs", "15",
                    "--batch-size", "4", "--learning-rate", "1e-3"}};
    run.arguments.insert(run.arguments.end(), more.begin(), more.end());
    if (interrupt)
      run.interrupt_when = [folder = path(out + ".training")] { return testing::holds_checkpoint(folder); };
    return run_program(run);
  }
};

TEST_F(MultitaskCommand, GivesModelsThatRunAndQuantize) {
  EXPECT_NE(run_program({{"multitask", "--help"}}).out.find("--size-exponent"), std::string::npos);
  const ProgramResult run = multitask("out", {"--max-steps", "20", "--json"});
  ASSERT_EQ(run.status, 0) << run.err;
  const Json json = Json::parse(run.out, "output");
  const Json& last = json.find("evaluations")->as_array("evaluations").back();
  EXPECT_NE(last.find("scores")->find("mats.accuracy"), nullptr) << run.out;
  const ProgramResult small = run_program({{"quantize", path("out") + "/mats", "--out", path("int8")}});
  ASSERT_EQ(small.status, 0) << small.err;
  const ProgramResult scored = run_program(
      {{"eval", path("int8"), "--task", "classification", "--data", path("more"), "--split", "dev"}});
  EXPECT_EQ(scored.status, 0) << scored.err;
}

TEST_F(MultitaskCommand, GoesOnToTheSameBytes) {
  const std::vector<std::string> plan = {"--save-steps", "10", "--size-exponent", "0.5"};
  const ProgramResult whole = multitask("whole", plan);
  ASSERT_EQ(whole.status, 0) << whole.err;
  ASSERT_EQ(multitask("out", plan, true).status, 130) << "never stopped in training";
  std::vector<std::string> resume = plan;
  resume.emplace_back("--resume");
  const ProgramResult resumed = multitask("out", resume);
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  for (const char* task : {"/verbs", "/mats"}) {
    EXPECT_EQ(sha256_file(path("out") + task + "/model.safetensors"),
              sha256_file(path("whole") + task + "/model.safetensors"))
        << task;
  }
}

}  // namespace
}  // namespace penjing
