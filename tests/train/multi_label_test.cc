#include <gtest/gtest.h>

#include "tests/train/objective_steps.h"
#include "train/losses.h"

namespace penjing::train {
namespace {

TEST(MultiLabelObjective, LearnsSetsOfLabels) {
  TestFolder folder("multi-label");
  testing::write_tiny_folder(folder / "model", testing::TinyHead::kSentence);
  const std::string rows =
      "text\tlabels\nthe cat sat\tanimal,act\na red house\tplace\nthe dog\tanimal\non , in\t\n";
  write_bytes(folder / "data/train.tsv", rows);
  write_bytes(folder / "data/dev.tsv", rows + "the mat\tfloor\n");
  ObjectiveRun run(folder / "model", "multi-label", folder / "data");
  EXPECT_EQ(run.model.id2label, (std::vector<std::string>{"act", "animal", "floor", "place"}));
  EXPECT_EQ(run.model.config.find("problem_type")->as_string(""), "multi_label_classification");
  EXPECT_NE(run.objective->summary().find("4 examples, 1 without a label"), std::string::npos)
      << run.objective->summary();
  const auto losses = run.descend(run.first(4), 80, 0.3);
  EXPECT_NEAR(losses.front(), std::log(2), 0.05);  // fresh logits are about 0
  EXPECT_LT(losses.back(), 0.1);
  // 4 labels of dev are right, "floor" is never predicted.
  EXPECT_EQ(run.scores()[2].first, "accuracy");
  EXPECT_NEAR(run.scores()[2].second, 0.8, 1e-9);

  ObjectiveRun weighted(folder / "model", "multi-label", folder / "data",
                        Json::object({{"class_weights", "balanced"}}));
  const at::NoGradGuard no_gradient;
  const std::vector<int64_t> one = {1};
  const double plain_loss = ObjectiveRun(folder / "model", "multi-label", folder / "data")
                                .objective->loss(weighted.network, weighted.context(), one, 0)
                                .sum.item<double>();
  // "place" is there in 1 of 4 texts: its term counts 3 times; of about log 2 each, 4 terms become 6.
  EXPECT_NEAR(
      weighted.objective->loss(weighted.network, weighted.context(), one, 0).sum.item<double>() / plain_loss,
      1.5, 0.05);
}

}  // namespace
}  // namespace penjing::train
