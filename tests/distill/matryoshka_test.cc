// Losses of sentence embeddings at several widths against the formulas, in double precision.
#include <gtest/gtest.h>

#include "base/error.h"
#include "distill/loss.h"
#include "distill/plan.h"

namespace penjing::distill {
namespace {

at::Tensor draw(int64_t rows, int64_t width, double phase) {
  return at::sin(at::arange(rows * width, at::kDouble) * 1.7 + phase).view({rows, width});
}
at::Tensor unit(const at::Tensor& x) {
  return x / x.norm(2, {1}, true);
}

struct Setting {
  at::Tensor student, teacher;
};

double value_of(const char* loss, const Json& params, const Setting& setting) {
  LossSetup setup;
  setup.type = at::kDouble;
  setup.student_embedding = setting.student.size(1);
  setup.teacher_embedding = setting.teacher.size(1);
  train::Parameters parameters;
  setup.parameters = &parameters;
  const LossKind& kind = *find_loss(loss);
  const auto made = kind.make(resolve_loss_params(kind, params), setup);
  Side student, teacher;
  student.embeddings = setting.student;
  teacher.embeddings = setting.teacher;
  return made->value({student, teacher, {}, {}, at::Tensor(), {}, 0, true}).item<double>();
}

Json params_of(const char* text) {
  return Json::parse(text, "params");
}

TEST(DistillMatryoshka, TheTeachersEmbeddingsAreCutLikeTheStudents) {
  const at::Tensor s = draw(4, 6, 0), t = draw(4, 6, 1);
  const Json params =
      params_of(R"({"of": "embeddings", "matryoshka": [2, 6], "matryoshka_weights": [0.5, 3]})");
  const auto first = [](const at::Tensor& x) { return x.narrow(1, 0, 2); };
  const double mse =
      0.5 * (first(s) - first(t)).square().mean().item<double>() + 3 * (s - t).square().mean().item<double>();
  EXPECT_NEAR(value_of("mse", params, {s, t}), mse, 1e-12);
  const auto cosine = [](const at::Tensor& a, const at::Tensor& b) {
    return 1 - (unit(a) * unit(b)).sum(1).mean().item<double>();
  };
  EXPECT_NEAR(value_of("cosine", params, {s, t}), 0.5 * cosine(first(s), first(t)) + 3 * cosine(s, t), 1e-12);
}

// Similarities have no width: those of the whole teacher are wanted at each of the student's.
TEST(DistillMatryoshka, SimilaritiesAreTheWholeTeachers) {
  const at::Tensor s = draw(5, 6, 0), t = draw(5, 9, 1);
  const auto alone = [&](const at::Tensor& student) {
    return value_of("contrastive", Json::object(), {student, t});
  };
  const double wanted = alone(s.narrow(1, 0, 3)) + 2 * alone(s);
  EXPECT_NEAR(
      value_of("contrastive", params_of(R"({"matryoshka": "3,6", "matryoshka_weights": [1, 2]})"), {s, t}),
      wanted, 1e-12);
  EXPECT_GT(std::abs(alone(s.narrow(1, 0, 3)) - alone(s)), 1e-3);
}

std::string refusal(const char* losses, int64_t student, int64_t teacher) {
  ModelShape s, t;
  s.widths = t.widths = {6, 6};
  s.heads = t.heads = {1};
  s.embedding = student;
  t.embedding = teacher;
  try {
    (void)read_plan(Json::parse(losses, "losses"), s, t);
  } catch (const Error& error) {
    return error.what();
  }
  return "taken";
}

TEST(DistillMatryoshka, WhatMakesNoSenseIsRefused) {
  const char* mse = R"([{"loss": "mse", "params": {"of": "embeddings", "matryoshka": [2, 4]}}])";
  EXPECT_EQ(refusal(mse, 6, 6), "taken");
  EXPECT_NE(refusal(mse, 6, 9).find("projection"), std::string::npos) << refusal(mse, 6, 9);
  EXPECT_EQ(refusal(R"([{"loss": "contrastive", "params": {"matryoshka": [2, 4]}}])", 6, 9), "taken");
  const char* rows = R"([{"loss": "mse", "params": {"of": "rows", "matryoshka": [2]}}])";
  EXPECT_NE(refusal(rows, 6, 6).find("matryoshka"), std::string::npos);
  EXPECT_THROW((void)value_of("mse", params_of(R"({"of": "embeddings", "matryoshka": [7]})"),
                              {draw(2, 6, 0), draw(2, 6, 1)}),
               Error);
}

}  // namespace
}  // namespace penjing::distill
