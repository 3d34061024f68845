// penjing theseus as its users run it: a run that goes on to the same bytes, whatever was drawn in its steps.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/hash.h"
#include "tests/cli/tiny_training_test.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::run_program;

class TheseusCommand : public testing::TinyTrainingTest {
 protected:
  void SetUp() override {
    testing::TinyTrainingTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_NO_FATAL_FAILURE(teach());
    const ProgramResult carved = run_program(
        {{"student", path("teacher"), "--layers", "1", "--from", "first", "--out", path("student")}});
    ASSERT_EQ(carved.status, 0) << carved.err;
  }
  ProgramResult theseus(const std::string& out, const std::vector<std::string>& more,
                        bool interrupt = false) const {
    return train({"theseus", path("student"), "--teacher", path("teacher"), "--epochs", "20"}, out, more,
                 interrupt);
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
