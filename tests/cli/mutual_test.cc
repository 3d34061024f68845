// penjing mutual as its users run it: a run that goes on to the same bytes, of every peer.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/hash.h"
#include "base/json.h"
#include "tests/cli/program_run.h"
#include "tests/cli/tiny_model_test.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::run_program;

class MutualCommand : public testing::TinyModelTest {
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
  }
  ProgramResult mutual(const std::string& out, std::vector<std::string> more, bool interrupt = false) const {
    testing::ProgramRun run{{"mutual", path("model"), "--task", "classification", "--data", path("data"),
                             "--out", path(out), "--epochs", "15", "--batch-size", "4", "--learning-rate",
                             "1e-3"}};
    run.arguments.insert(run.arguments.end(), more.begin(), more.end());
    if (interrupt)
      run.interrupt_when = [folder = path(out + ".training")] { return testing::holds_checkpoint(folder); };
    return run_program(run);
  }
};

TEST_F(MutualCommand, SaysWhichPeerIsBest) {
  const ProgramResult help = run_program({{"mutual", "--help"}});
  EXPECT_NE(help.out.find("--mutual-weight"), std::string::npos);
  const ProgramResult run = mutual("out", {"--max-steps", "8", "--with", path("model"), "--json"});
  ASSERT_EQ(run.status, 0) << run.err;
  const Json json = Json::parse(run.out, "output");
  EXPECT_EQ(json.find("peers")->as_array("peers").size(), 2u);
  EXPECT_TRUE(
      fs::exists(path(json.find("best_peer")->as_int("best_peer") == 1 ? "out.peer-2" : "out.peer-1")));
}

TEST_F(MutualCommand, GoesOnToTheSameBytes) {
  const std::vector<std::string> plan = {"--save-steps", "10"};
  const ProgramResult whole = mutual("whole", plan);
  ASSERT_EQ(whole.status, 0) << whole.err;
  ASSERT_EQ(mutual("out", plan, true).status, 130) << "never stopped in training";
  std::vector<std::string> resume = plan;
  resume.emplace_back("--resume");
  const ProgramResult resumed = mutual("out", resume);
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  const std::string other = fs::exists(path("whole.peer-2")) ? ".peer-2" : ".peer-1";
  for (const std::string& which : {std::string(), other}) {
    EXPECT_EQ(sha256_file(path("out" + which) + "/model.safetensors"),
              sha256_file(path("whole" + which) + "/model.safetensors"))
        << which;
  }
}

}  // namespace
}  // namespace penjing
