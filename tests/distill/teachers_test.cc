// Several teachers: what each counts for an example, and what they say together.
#include "distill/teachers.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "data/npy.h"
#include "io/model_folder.h"
#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"
#include "tests/distill/tiny_task.h"

namespace penjing {
namespace {

using distill::Gating;

using testing::kQuiet;

double value(const at::Tensor& tensor, int64_t i, int64_t j) {
  return tensor[i][j].item<double>();
}

TEST(TeacherShares, AreThoseOfTheFormulas) {
  const double ln3 = std::log(3.0);
  // p = (3/4, 1/4) and (1/2, 1/2); the second row the other way round.
  const std::vector<at::Tensor> logits = {at::tensor({ln3, 0.0, 0.0, 0.0}, at::kFloat).view({2, 2}),
                                          at::tensor({0.0, 0.0, ln3, 0.0}, at::kFloat).view({2, 2})};
  const std::vector<double> equal = {1, 1}, uneven = {3, 1};
  const at::Tensor labels = at::tensor({0, 1}, at::kLong);
  const at::Tensor none = distill::teacher_shares(logits, uneven, Gating::kNone, {});
  EXPECT_NEAR(value(none, 0, 0), 0.75, 1e-6);
  EXPECT_NEAR(value(none, 1, 1), 0.25, 1e-6);
  // The truth has 3/4 and 1/2; of the second example 1/2 and 1/4.
  const at::Tensor sure = distill::teacher_shares(logits, equal, Gating::kConfidence, labels);
  EXPECT_NEAR(value(sure, 0, 0), 0.75 / 1.25, 1e-6);
  EXPECT_NEAR(value(sure, 1, 1), 0.25 / 0.75, 1e-6);
  const at::Tensor weighted = distill::teacher_shares(logits, uneven, Gating::kConfidence, labels);
  EXPECT_NEAR(value(weighted, 0, 0), 3 * 0.75 / (3 * 0.75 + 0.5), 1e-6);
  const double h = -(0.75 * std::log(0.75) + 0.25 * std::log(0.25)), flat = std::log(2.0);
  const at::Tensor entropy = distill::teacher_shares(logits, equal, Gating::kEntropy, {});
  EXPECT_NEAR(value(entropy, 0, 0), std::exp(-h) / (std::exp(-h) + std::exp(-flat)), 1e-6);
  EXPECT_NEAR(value(entropy, 1, 0), std::exp(-flat) / (std::exp(-h) + std::exp(-flat)), 1e-6);
  // A class that is absent counts nothing.
  const double nothing = -std::numeric_limits<double>::infinity();
  const std::vector<at::Tensor> absent = {at::tensor({0.0, nothing}, at::kFloat).view({1, 2}),
                                          at::tensor({0.0, 0.0}, at::kFloat).view({1, 2})};
  EXPECT_NEAR(value(distill::teacher_shares(absent, equal, Gating::kEntropy, {}), 0, 0), 2.0 / 3, 1e-6);
}

class ManyTeachers : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("PENJING_CACHE", (work_ / "cache").c_str(), 1);
    testing::write_tiny_folder(work_ / "model", testing::TinyHead::kSentence);
    testing::write_task(work_.path());
  }
  // Logits `size` for the label's class, and minus that for the other.
  std::string write_answers(const std::string& name, float size) const {
    NpyWriter writer(work_ / name, "<f4", 2);
    for (int i = 0; i < 24; ++i) {
      const float first = i % 2 == 0 ? size : -size;
      const std::vector<float> row = {first, -first};
      writer.write_row(std::as_bytes(std::span(row)));
    }
    writer.commit();
    return (work_ / name).string();
  }
  distill::DistillSettings settings(const std::string& out, const std::string& teacher) const {
    distill::DistillSettings s;
    s.training = testing::tiny_training(work_.path(), out, 6);
    s.label_weight = 0;
    s.teacher = teacher;
    return s;
  }
  static double accuracy(const distill::DistillSettings& settings) {
    return distill::distill(settings, kQuiet).loop.evaluations.back().scores.front().second;
  }
  static std::string refusal(const distill::DistillSettings& settings) {
    return testing::refusal_of([&] { (void)distill::distill(settings, kQuiet); });
  }
  TestFolder work_{::testing::UnitTest::GetInstance()->current_test_info()->name()};
};

TEST_F(ManyTeachers, SayTheirWeightedMean) {
  const std::string right = write_answers("right.npy", 2), wrong = write_answers("wrong.npy", -3),
                    mean = write_answers("mean.npy", -0.5);
  const auto loss = [&](distill::DistillSettings s) {
    s.training.loop.epochs = 1;
    return distill::distill(s, kQuiet).loop.loss;
  };
  EXPECT_NEAR(loss(settings("both", right + "," + wrong)), loss(settings("one", mean)), 1e-6);
  // The stronger one wins, unless the other weighs more, or the labels say who is right.
  EXPECT_EQ(accuracy(settings("plain", right + "," + wrong)), 0);
  distill::DistillSettings s = settings("weighted", right + "," + wrong);
  s.teacher_weights = {4, 1};
  EXPECT_EQ(accuracy(s), 1);
  s = settings("gated", right + "," + wrong);
  s.gating = Gating::kConfidence;
  EXPECT_EQ(accuracy(s), 1);
  s = settings("entropy", right + "," + wrong);
  s.gating = Gating::kEntropy;
  EXPECT_EQ(accuracy(s), 0);
}

TEST_F(ManyTeachers, WhatDoesNotFitIsRefused) {
  const std::string a = write_answers("a.npy", 2), b = write_answers("b.npy", 1);
  distill::DistillSettings s = settings("out", a + "," + b);
  s.teacher_weights = {1};
  EXPECT_NE(refusal(s).find("teacher_weights"), std::string::npos) << refusal(s);
  s.teacher_weights = {1, 0};
  EXPECT_NE(refusal(s).find("teacher_weights"), std::string::npos) << refusal(s);
  s = settings("out", a);
  s.gating = Gating::kEntropy;
  EXPECT_NE(refusal(s).find("one teacher"), std::string::npos) << refusal(s);
  NpyWriter wide(work_ / "wide.npy", "<f4", 3);
  const std::vector<float> row = {1, 2, 3};
  for (int i = 0; i < 24; ++i) wide.write_row(std::as_bytes(std::span(row)));
  wide.commit();
  EXPECT_NE(refusal(settings("out", a + "," + (work_ / "wide.npy").string())).find("widths 2 and 3"),
            std::string::npos);
  s = settings("out", (work_ / "model").string() + "," + a);
  s.losses = Json::parse(R"([{"loss": "pkd"}])", "losses");
  EXPECT_NE(refusal(s).find("several teachers"), std::string::npos) << refusal(s);
}

}  // namespace
}  // namespace penjing
