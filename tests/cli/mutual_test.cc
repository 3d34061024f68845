// penjing mutual as its users run it: a run that goes on to the same bytes, of every peer.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/hash.h"
#include "base/json.h"
#include "tests/cli/tiny_training_test.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::run_program;

class MutualCommand : public testing::TinyTrainingTest {
 protected:
  ProgramResult mutual(const std::string& out, const std::vector<std::string>& more,
                       bool interrupt = false) const {
    return train({"mutual", path("model"), "--epochs", "15"}, out, more, interrupt);
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
