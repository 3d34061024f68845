// runs: what the command tells of a ledger, and a run recorded from begin to end.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "base/json.h"
#include "base/version.h"
#include "cli/recorded_run.h"
#include "tests/base/test_folder.h"
#include "tests/cli/program_run.h"

namespace penjing {
namespace {

using cli::RecordedRun;
using testing::ProgramResult;
using testing::run_program;

class Runs : public ::testing::Test {
 protected:
  TestFolder folder_{"runs"};
  void SetUp() override { ::setenv("PENJING_RUNS", (folder_ / "runs.sqlite").c_str(), 1); }
  void TearDown() override { ::unsetenv("PENJING_RUNS"); }

  static RunInfo make_info(int64_t seed, double rate) {
    RunInfo info;
    info.kind = "finetune";
    info.model = "models/minilm";
    info.task = "rte";
    info.data = "glue/RTE";
    info.seed = seed;
    info.settings = Json::object({{"learning_rate", rate}, {"epochs", 3}});
    info.threads = 2;
    info.output = "out";
    return info;
  }
  static int64_t record(int64_t seed, double rate, double accuracy) {
    RecordedRun run(make_info(seed, rate));
    run.add_score({"accuracy", "dev", accuracy, accuracy - 0.125, accuracy + 0.125});
    run.done();
    return run.id();
  }
  static std::string want(const std::vector<std::string>& arguments) {
    const ProgramResult result = run_program({arguments});
    EXPECT_EQ(result.status, 0) << result.err;
    return result.out;
  }
};

TEST_F(Runs, NothingYet) {
  EXPECT_NE(want({"runs", "list"}).find("no run is recorded yet"), std::string::npos);
  EXPECT_EQ(Json::parse(want({"runs", "compare", "--json"}), "").find("groups")->dump(), "[]");
  EXPECT_EQ(run_program({{"runs", "show", "1"}}).status, 2);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "runs.sqlite"));
}

TEST_F(Runs, ListShowCompare) {
  record(1, 2e-5, 0.5);
  record(2, 2e-5, 0.75);
  record(1, 5e-5, 0.25);
  {
    RecordedRun failed(make_info(3, 5e-5));
    failed.fail_because("the loss is not finite");
  }
  const Json list =
      Json::parse(want({"runs", "list", "--task", "rte", "--model", "minilm", "--limit", "2", "--json"}), "");
  const auto& runs = list.find("runs")->as_array("");
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].find("id")->as_int(""), 4);
  EXPECT_EQ(runs[0].find("status")->as_string(""), "failed");
  EXPECT_EQ(runs[0].find("message")->as_string(""), "the loss is not finite");
  EXPECT_EQ(runs[1].find("version")->as_string(""), version());
  EXPECT_FALSE(runs[1].find("cpu")->as_string("").empty());
  EXPECT_FALSE(runs[1].find("instruction_set")->as_string("").empty());
  EXPECT_GE(runs[1].find("seconds")->as_double(""), 0);
  EXPECT_NE(want({"runs", "list"}).find("dev accuracy 0.7500"), std::string::npos);
  EXPECT_NE(want({"runs", "list", "--kind", "distill"}).find("no such run"), std::string::npos);

  const std::string shown = want({"runs", "show", "2"});
  EXPECT_NE(shown.find("0.7500 [0.6250, 0.8750]"), std::string::npos) << shown;
  EXPECT_NE(shown.find("settings: learning_rate  2e-05"), std::string::npos) << shown;

  const std::string beside = want({"runs", "compare", "2", "3"});
  EXPECT_NE(beside.find("learning_rate  2e-05"), std::string::npos) << beside;
  EXPECT_EQ(beside.find("epochs"), std::string::npos) << beside;  // the same in both

  const Json groups = Json::parse(want({"runs", "compare", "--json"}), "");
  const auto& found = groups.find("groups")->as_array("");
  ASSERT_EQ(found.size(), 2u);
  const Json& score = found[0].find("scores")->as_array("")[0];
  EXPECT_EQ(found[0].find("group")->find("settings")->find("learning_rate")->as_double(""), 2e-5);
  EXPECT_EQ(score.find("count")->as_int(""), 2);
  EXPECT_EQ(score.find("mean")->as_double(""), 0.625);
  EXPECT_NEAR(score.find("deviation")->as_double(""), 0.1767766952966369, 1e-12);
  const std::string mixed = want({"runs", "compare", "--by", "model,task"});
  EXPECT_NE(mixed.find("dev accuracy     3  0.5000"), std::string::npos) << mixed;
  EXPECT_NE(mixed.find("mix runs of different settings"), std::string::npos) << mixed;
}

TEST_F(Runs, ARunIsResumedAsItself) {
  const RunInfo info = make_info(1, 2e-5);
  (void)cli::record_run(info, folder_.path(), false);  // ends as failed
  cli::record_run(info, folder_.path(), true)->done();
  const auto runs = RunLedger(ledger_path()).list_runs();
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].status, RunStatus::kDone);
}

TEST_F(Runs, ARunGoesOnWhereTheLedgerHasLostIt) {
  const RunInfo info = make_info(1, 2e-5);
  RunInfo other = info;
  other.output = "elsewhere";
  (void)cli::record_run(info, folder_.path(), false);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::remove(folder_ / (std::string("runs.sqlite") + suffix));
  }
  RecordedRun(other).done();  // takes the lost one's id
  cli::record_run(info, folder_.path(), true)->done();
  cli::record_run(info, folder_.path(), true)->done();  // the folder names the new one
  const auto runs = RunLedger(ledger_path()).list_runs();
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].output, "out");
  EXPECT_EQ(runs[1].output, "elsewhere");
}

TEST_F(Runs, Refusals) {
  record(1, 2e-5, 0.5);
  EXPECT_EQ(run_program({{"runs"}}).status, 2);
  EXPECT_EQ(run_program({{"runs", "sing"}}).status, 2);
  EXPECT_EQ(run_program({{"runs", "show"}}).status, 2);
  EXPECT_EQ(run_program({{"runs", "show", "9"}}).status, 2);
  EXPECT_EQ(run_program({{"runs", "list", "1"}}).status, 2);
  EXPECT_EQ(run_program({{"runs", "list", "--by", "task"}}).status, 2);
  EXPECT_EQ(run_program({{"runs", "compare", "--by", "tusk"}}).status, 2);
  write_bytes(folder_ / "runs.sqlite", std::string(8192, 'x'));
  std::filesystem::remove(folder_ / "runs.sqlite-wal");
  const ProgramResult result = run_program({{"runs", "list"}});
  EXPECT_EQ(result.status, 4) << result.err;
  EXPECT_NE(result.err.find("PENJING_RUNS"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace penjing
