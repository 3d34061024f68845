#include "recipe/run_groups.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/base/test_folder.h"

namespace penjing {
namespace {

LedgerRun make_run(int64_t id, const std::string& task, int64_t seed, double rate, double score) {
  LedgerRun run;
  run.id = id;
  run.kind = "finetune";
  run.model = "minilm";
  run.task = task;
  run.seed = seed;
  run.status = RunStatus::kDone;
  run.settings = Json::object({{"learning_rate", rate}, {"epochs", 3}, {"seed", seed}});
  run.scores = {{"accuracy", "dev", score, std::nullopt, std::nullopt}};
  return run;
}

TEST(RunGroups, MeanAndDeviationOverSeeds) {
  std::vector<LedgerRun> runs = {make_run(1, "rte", 1, 2e-5, 0.6), make_run(2, "rte", 2, 2e-5, 0.7),
                                 make_run(3, "rte", 3, 2e-5, 0.8), make_run(4, "rte", 1, 5e-5, 0.5),
                                 make_run(5, "cola", 1, 2e-5, 0.4)};
  // The same settings in another order.
  runs[1].settings = Json::object({{"epochs", 3}, {"learning_rate", 2e-5}});
  runs.push_back(make_run(6, "rte", 3, 2e-5, 0.9));  // run 3 again
  LedgerRun failed = make_run(7, "rte", 4, 2e-5, 0.1);
  failed.status = RunStatus::kFailed;
  runs.push_back(failed);
  runs.push_back(make_run(8, "rte", 5, 2e-5, std::nan("")));

  const auto groups = group_runs(runs, parse_run_fields("model,task,settings"));
  ASSERT_EQ(groups.size(), 3u);  // cola; rte at 2e-5, at 5e-5
  EXPECT_EQ(groups[0].key,
            (std::vector<std::string>{"minilm", "cola", R"({"epochs":3,"learning_rate":2e-05})"}));
  const RunGroup& rte = groups[1];
  EXPECT_EQ(rte.runs, (std::vector<int64_t>{1, 2, 6, 8}));
  EXPECT_EQ(rte.seeds, (std::vector<int64_t>{1, 2, 3, 5}));
  EXPECT_EQ(rte.settings, 1);
  ASSERT_EQ(rte.scores.size(), 1u);
  EXPECT_EQ(rte.scores[0].count, 3);
  EXPECT_NEAR(rte.scores[0].mean, 2.2 / 3, 1e-12);  // 0.6, 0.7, 0.9
  EXPECT_NEAR(rte.scores[0].deviation.value(), 0.15275252316519466, 1e-12);
  EXPECT_EQ(rte.scores[0].low, 0.6);
  EXPECT_EQ(rte.scores[0].high, 0.9);
  EXPECT_FALSE(groups[2].scores[0].deviation.has_value());

  const auto coarse = group_runs(runs, parse_run_fields("task"));
  ASSERT_EQ(coarse.size(), 2u);
  EXPECT_EQ(coarse[1].settings, 2);
  EXPECT_EQ(coarse[1].scores[0].count, 4);
}

TEST(RunGroups, FieldsAndDifferences) {
  EXPECT_NE(error_of([] { parse_run_fields("model,tusk"); }).find("did you mean \"task\""),
            std::string::npos);
  EXPECT_NE(error_of([] { parse_run_fields(""); }), "");
  const Json a = Json::object({{"rate", 1}, {"epochs", 3}, {"seed", 1}}),
             b = Json::object({{"epochs", 3}, {"rate", 2}, {"seed", 2}, {"clip", 1.0}});
  EXPECT_EQ(differing_settings({a, b}), (std::vector<std::string>{"rate", "clip"}));
  EXPECT_EQ(differing_settings({a, a}), std::vector<std::string>{});
}

}  // namespace
}  // namespace penjing
