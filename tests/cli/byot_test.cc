// penjing byot as its users run it: exits that are trained, asked for and carried; a run that goes on to the
// same bytes.
#include <gtest/gtest.h>

#include <fstream>

#include "base/hash.h"
#include "base/json.h"
#include "tests/cli/tiny_training_test.h"

namespace penjing {
namespace {

using testing::ProgramResult;
using testing::run_program;

class ByotCommand : public testing::TinyTrainingTest {
 protected:
  void SetUp() override {
    testing::TinyTrainingTest::SetUp();
    if (!IsSkipped()) testing::write_tiny_folder(work_ / "deep", testing::TinyHead::kSentence, 3);
  }
  ProgramResult byot(const std::string& out, const std::vector<std::string>& more,
                     bool interrupt = false) const {
    return train({"byot", path("deep"), "--epochs", "15"}, out, more, interrupt);
  }
  Json eval(const std::string& model, const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"eval",       path(model), "--task", "classification", "--data",
                                          path("data"), "--split",   "dev",    "--json",         "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult run = run_program({arguments});
    EXPECT_EQ(run.status, 0) << run.err;
    return Json::parse(run.out, "output");
  }
  std::string classify(const std::string& model, const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"classify", path(model), "the cat", "a big red dog", "--raw-scores",
                                          "--top-k",  "0",         "--json",  "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult run = run_program({arguments});
    EXPECT_EQ(run.status, 0) << run.err;
    return run.out;
  }
};

TEST_F(ByotCommand, TextsLeaveWhereTheyAreAskedTo) {
  ASSERT_EQ(byot("out", {"--max-steps", "12"}).status, 0);
  const Json never = eval("out", {"--exit-entropy", "0"}), first = eval("out", {"--exit", "1"});
  EXPECT_EQ(never.find("exits")->find("mean_layers")->as_double(""), 3);
  EXPECT_GT(never.find("exits")->find("operations_share")->as_double(""), 1);  // the exits were asked
  EXPECT_EQ(first.find("exits")->find("mean_layers")->as_double(""), 1);
  EXPECT_LT(first.find("exits")->find("operations_share")->as_double(""), 0.4);
  EXPECT_EQ(first.find("exits")->find("rows_by_layers")->dump(), "{\"1\":32}");
  EXPECT_EQ(classify("out", {}), classify("out", {"--exit-entropy", "0"}));
  EXPECT_EQ(classify("out", {"--exit", "1"}), classify("out", {"--exit-entropy", "1"}));
  EXPECT_NE(classify("out", {"--exit", "1"}), classify("out", {}));
  const ProgramResult shown = run_program({{"inspect", path("out"), "--json"}});
  EXPECT_EQ(Json::parse(shown.out, "output").find("exits")->dump(), "[1,2]");

  // Integers keep them; a student of other layers does not.
  ASSERT_EQ(run_program({{"quantize", path("out"), "--out", path("int8"), "--quiet"}}).status, 0);
  EXPECT_EQ(eval("int8", {"--exit", "2"}).find("exits")->find("mean_layers")->as_double(""), 2);
  const ProgramResult carved =
      run_program({{"student", path("out"), "--layers", "2", "--out", path("student")}});
  ASSERT_EQ(carved.status, 0) << carved.err;
  EXPECT_NE((carved.out + carved.err).find("without the teacher's exits"), std::string::npos);
  const ProgramResult none = run_program({{"classify", path("student"), "the cat", "--exit-entropy", "0.5"}});
  EXPECT_EQ(none.status, 2);
  EXPECT_NE(none.err.find("no exits"), std::string::npos) << none.err;
}

TEST_F(ByotCommand, GoesOnToTheSameBytes) {
  const std::vector<std::string> plan = {"--save-steps", "10", "--exits", "2"};
  const ProgramResult whole = byot("whole", plan);
  ASSERT_EQ(whole.status, 0) << whole.err;
  ASSERT_EQ(byot("out", plan, true).status, 130) << "never stopped in training";
  std::vector<std::string> resume = plan;
  resume.emplace_back("--resume");
  const ProgramResult resumed = byot("out", resume);
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_EQ(sha256_file(path("out") + "/model.safetensors"),
            sha256_file(path("whole") + "/model.safetensors"));
}

TEST_F(ByotCommand, SaysWhatIsWrong) {
  const ProgramResult help = run_program({{"byot", "--help"}});
  EXPECT_NE(help.out.find("--feature-weight"), std::string::npos);
  const ProgramResult deep = byot("out", {"--exits", "1,3"});
  EXPECT_EQ(deep.status, 2);
  EXPECT_NE(deep.err.find("from 1 to 2"), std::string::npos) << deep.err;
  const ProgramResult both =
      run_program({{"classify", path("deep"), "the cat", "--exit", "1", "--exit-entropy", "0.5"}});
  EXPECT_EQ(both.status, 2);
}

}  // namespace
}  // namespace penjing
