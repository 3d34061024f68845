#include "eval/linear_probe.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"

namespace penjing {
namespace {

TEST(LinearProbe, FoldsKeepTheClassesSpread) {
  std::vector<int> classes;
  for (int i = 0; i < 100; ++i) classes.push_back(i < 80 ? 0 : 1);
  const auto folds = stratified_folds(classes, 2, 5, 1);
  int count[5][2] = {};
  for (std::size_t i = 0; i < classes.size(); ++i) ++count[folds[i]][classes[i]];
  for (const auto& fold : count) {
    EXPECT_EQ(fold[0], 16);
    EXPECT_EQ(fold[1], 4);
  }
  EXPECT_EQ(folds, stratified_folds(classes, 2, 5, 1));
  EXPECT_NE(folds, stratified_folds(classes, 2, 5, 2));
  EXPECT_THROW((void)stratified_folds(classes, 2, 1, 1), Error);
  EXPECT_THROW((void)stratified_folds(std::vector<int>{0, 1}, 2, 5, 1), Error);
}

// Two features of sixteen tell the class, with noise: a small C is too little, a large one learns the noise
// by heart. The C that is chosen does best in cross-validation, and does well on new rows.
TEST(LinearProbe, ChoosesByCrossValidation) {
  Rng rng(7);
  std::vector<std::vector<float>> rows, new_rows;
  std::vector<int> classes, new_classes;
  for (int i = 0; i < 600; ++i) {
    std::vector<float> row(16);
    for (float& v : row) v = rng.normal();
    const int truth = static_cast<int>(rng.below(3));
    row[static_cast<std::size_t>(truth)] += 1.5f;
    (i < 150 ? rows : new_rows).push_back(row);
    (i < 150 ? classes : new_classes).push_back(truth);
  }
  std::vector<double> seen;
  ProbeOptions options;
  options.on_candidate = [&](double c, double) { seen.push_back(c); };
  const LinearProbe probe = fit_linear_probe(rows, classes, 3, options);
  EXPECT_TRUE(probe.converged);
  ASSERT_EQ(seen.size(), probe.candidates.size());
  double best = 0;
  for (const auto& candidate : probe.candidates) best = std::max(best, candidate.accuracy);
  for (const auto& candidate : probe.candidates) {
    if (candidate.accuracy < best) continue;
    EXPECT_EQ(candidate.c, probe.c);  // the smallest of equals
    break;
  }
  int right = 0;
  for (std::size_t i = 0; i < new_rows.size(); ++i)
    right += probe.classifier.predict(new_rows[i]) == new_classes[i];
  EXPECT_GT(right, 450 * 0.7);
  options.c = 0.5;
  EXPECT_TRUE(fit_linear_probe(rows, classes, 3, options).candidates.empty());
}

// Nine rows of one class to one of the other, overlapping: balanced weights find more of the rare one.
TEST(LinearProbe, BalancedClassWeights) {
  Rng rng(9);
  std::vector<std::vector<float>> rows;
  std::vector<int> classes;
  for (int i = 0; i < 500; ++i) {
    const int truth = i % 10 == 0 ? 1 : 0;
    rows.push_back({rng.normal() + (truth == 1 ? 1.5f : 0.0f)});
    classes.push_back(truth);
  }
  const auto found = [&](ClassWeights weights) {
    ProbeOptions options;
    options.c = 1;
    options.class_weights = weights;
    const LinearProbe probe = fit_linear_probe(rows, classes, 2, options);
    int count = 0;
    for (std::size_t i = 0; i < rows.size(); ++i)
      count += classes[i] == 1 && probe.classifier.predict(rows[i]) == 1;
    return count;
  };
  EXPECT_GT(found(ClassWeights::kBalanced), found(ClassWeights::kNone) + 10);
}

}  // namespace
}  // namespace penjing
