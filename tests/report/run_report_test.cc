#include "report/run_report.h"

#include <gtest/gtest.h>

namespace penjing {
namespace {

RunResult two_models() {
  RunResult result;
  result.state.first.name = "0-original";
  result.state.first.measured = Measurement();
  result.state.first.measured->bytes = 4000000;
  result.state.first.measured->agreement.cosine_mean = result.state.first.measured->agreement.cosine_min = 1;
  StepState step;
  step.name = "1-quantize";
  step.notes = {"a <note> & more"};
  step.measured = result.state.first.measured;
  step.measured->bytes = 1000000;
  step.measured->size_ratio = 4;
  step.measured->agreement.cosine_mean = 0.987654;
  result.state.steps.push_back(step);
  result.goals = {{0.98, true}, {3.0, false}};
  result.goals_met = false;
  return result;
}

TEST(RunReport, TableJsonAndPage) {
  Recipe recipe;
  recipe.model = "/models/<script>";
  recipe.goals = {{Goal::Type::kThreshold, "cosine_mean", 0.98}, {Goal::Type::kThreshold, "size_ratio", 5}};
  const RunResult result = two_models();
  const std::string table = run_table(recipe, result);
  for (const char* text :
       {"1-quantize", "1.0 MB", "4.00x", "0.9877", "goal size_ratio threshold 5: 3.0000, NOT MET"})
    EXPECT_NE(table.find(text), std::string::npos) << text << "\n" << table;
  const Json report = run_report(recipe, result);
  EXPECT_EQ(report.find("steps")->as_array("").size(), 2u);
  EXPECT_FALSE(report.find("goals_met")->as_bool(""));
  const std::string page = run_page(recipe, result);
  EXPECT_EQ(page.find("<script>"), std::string::npos);
  EXPECT_NE(page.find("&lt;script&gt;"), std::string::npos);
  EXPECT_NE(page.find("a &lt;note&gt; &amp; more"), std::string::npos);
  // A point a model, the larger one to the right of the smaller, the better one above.
  std::vector<std::pair<double, double>> points;
  for (std::size_t at = page.find("<circle"); at != std::string::npos; at = page.find("<circle", at + 1)) {
    points.emplace_back(std::stod(page.substr(page.find("cx=\"", at) + 4)),
                        std::stod(page.substr(page.find("cy=\"", at) + 4)));
  }
  ASSERT_EQ(points.size(), 2u);
  EXPECT_GT(points[0].first, points[1].first);
  EXPECT_LT(points[0].second, points[1].second);
  EXPECT_NE(page.find("class=\"unmet\""), std::string::npos);
}

}  // namespace
}  // namespace penjing
