#include "recipe/measurement.h"

#include <gtest/gtest.h>

#include "tests/base/test_folder.h"

namespace penjing {
namespace {

Measurement measured(double size, double cosine, double spearman, double perplexity) {
  Measurement m;
  m.bytes = 1000;
  m.size_ratio = size;
  m.speed = {2, 1.5, {1.25, 1.75}};
  m.agreement.output = "embeddings";
  m.agreement.rows = 9;
  m.agreement.cosine_mean = m.agreement.cosine_min = cosine;
  m.scores["stsb.spearmanr"] = {"stsb.spearmanr", spearman, {spearman - 0.1, spearman + 0.1}};
  m.scores["masked.pseudo_perplexity"] = {"masked.pseudo_perplexity", perplexity, {1, 9}};
  return m;
}

TEST(Goals, EachTypeInItsDirection) {
  const Measurement first = measured(1, 1, 0.82, 5), last = measured(4, 0.99, 0.81, 6);
  using Type = Goal::Type;
  const auto check = [&](Type type, const char* metric, double value) {
    return check_goal({type, metric, value}, first, last);
  };
  EXPECT_TRUE(check(Type::kThreshold, "size_ratio", 3.5).met);
  EXPECT_FALSE(check(Type::kThreshold, "size_ratio", 4.5).met);
  EXPECT_TRUE(check(Type::kPercentMinImprovement, "size_ratio", 300).met);
  EXPECT_FALSE(check(Type::kPercentMinImprovement, "size_ratio", 301).met);
  EXPECT_TRUE(check(Type::kMaxDegradation, "stsb.spearmanr", 0.011).met);
  EXPECT_FALSE(check(Type::kMaxDegradation, "stsb.spearmanr", 0.009).met);
  EXPECT_NEAR(check(Type::kMaxDegradation, "stsb.spearmanr", 0).value, 0.01, 1e-12);
  // Of perplexity less is better.
  EXPECT_TRUE(check(Type::kMaxDegradation, "masked.pseudo_perplexity", 1.5).met);
  EXPECT_FALSE(check(Type::kMaxDegradation, "masked.pseudo_perplexity", 0.5).met);
  EXPECT_TRUE(check(Type::kThreshold, "masked.pseudo_perplexity", 7).met);
  EXPECT_FALSE(check(Type::kThreshold, "masked.pseudo_perplexity", 5).met);
  EXPECT_NE(error_of([&] { (void)check(Type::kThreshold, "top1", 1); }).find("top1"), std::string::npos);
  EXPECT_NE(error_of([&] { (void)check(Type::kThreshold, "stsb.f1", 1); }).find("stsb.spearmanr"),
            std::string::npos);
}

TEST(Measurements, ReadBack) {
  const Measurement m = measured(4, 0.99, 0.81, 6);
  EXPECT_EQ(to_json(measurement_from_json(to_json(m), "m")), to_json(m));
  EXPECT_THROW((void)measurement_from_json(Json::object(), "m"), Error);
}

}  // namespace
}  // namespace penjing
