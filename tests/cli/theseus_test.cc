// penjing theseus as its users run it: a run that goes on to the same bytes, whatever was drawn in its steps.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/hash.h"
#include "tests/cli/program_run.h"
#include "tests/cli/tiny_model_test.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::run_program;

class TheseusCommand : public testing::TinyModelTest {
 protected:
  void SetUp() override {
    if (!fs::exists(fs::path(PENJING_BINARY_DIR) / "penjing-train")) {
      GTEST_SKIP() << "built without PENJING_TRAIN";
    }
    testing::TinyModelTest::SetUp();
    fs::create_directories(work_ / "data");
    for (const char* split : {"train", "dev"}) {
      std::ofstream file(work_ / "data" / (std::string(split) + ".tsv"));
      file << "sentence\tlabel\n";
      for (int i = 0; i < 32; ++i) {
        file << (i % 2 == 0 ? "the cat sat on a mat\t0\n" : "a dog ran in the house\t1\n");
      }
    }
    const ProgramResult taught = run_program(
        {{"finetune", path("model"), "--task", "classification", "--data", path("data"), "--out",
          path("teacher"), "--epochs", "2", "--batch-size", "4", "--learning-rate", "2e-3", "--quiet"}});
    ASSERT_EQ(taught.status, 0) << taught.err;
    const ProgramResult carved = run_program(
        {{"student", path("teacher"), "--layers", "1", "--from", "first", "--out", path("student")}});
    ASSERT_EQ(carved.status, 0) << carved.err;
  }
  ProgramResult theseus(const std::string& out, std::vector<std::string> more, bool interrupt = false) const {
    testing::ProgramRun run{{"theseus", path("student"), "--teacher", path("teacher"), "--task",
                             "classification", "--data", path("data"), "--out", path(out), "--epochs", "20",
                             "--batch-size", "4", "--learning-rate", "1e-3"}};
    run.arguments.insert(run.arguments.end(), more.begin(), more.end());
    if (interrupt)
      run.interrupt_when = [folder = path(out + ".training")] { return testing::holds_checkpoint(folder); };
    return run_program(run);
  }
};

TEST_F(TheseusCommand, SaysWhatReplacesWhat) {
  const ProgramResult help = run_program({{"theseus", "--help"}});
  EXPECT_NE(help.out.find("penjing theseus "), std::string::npos);
  EXPECT_NE(help.out.find("--replacing-rate"), std::string::npos);
  const ProgramResult run = theseus("out", {"--max-steps", "8", "--replacing-slope", "0.2"});
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_NE(run.out.find("rising by 0.2 a step"), std::string::npos) << run.out;
  std::ifstream log(path("out.training/train.jsonl"));
  const std::string lines((std::istreambuf_iterator<char>(log)), {});
  EXPECT_NE(lines.find("\"replaced\":"), std::string::npos) << lines;
  EXPECT_EQ(theseus("other", {"--replacing", "constant", "--replacing-slope", "0.2"}).status, 2);
}

TEST_F(TheseusCommand, GoesOnToTheSameBytes) {
  const std::vector<std::string> plan = {"--save-steps", "10", "--replacing-share", "0.9"};
  const ProgramResult whole = theseus("whole", plan);
  ASSERT_EQ(whole.status, 0) << whole.err;
  ASSERT_EQ(theseus("out", plan, true).status, 130) << "never stopped in training";
  const ProgramResult otherwise = theseus("out", {"--resume", "--replacing-share", "0.8"});
  EXPECT_EQ(otherwise.status, 2) << otherwise.err;
  std::vector<std::string> resume = plan;
  resume.emplace_back("--resume");
  const ProgramResult resumed = theseus("out", resume);
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_EQ(sha256_file(path("out/model.safetensors")), sha256_file(path("whole/model.safetensors")));
}

}  // namespace
}  // namespace penjing
