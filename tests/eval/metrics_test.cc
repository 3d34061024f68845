#include "eval/metrics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"
#include "base/mapped_file.h"

namespace penjing {
namespace {

const Json& reference() {
  static const Json json = Json::parse(
      read_text_file(PENJING_SOURCE_DIR "/tests/data/metrics_reference.json", 1 << 22), "reference");
  return json;
}

const Json::Array& cases(const char* kind) {
  return reference().find(kind)->as_array(kind);
}

template <typename T>
std::vector<T> numbers(const Json& json, const char* key) {
  std::vector<T> values;
  for (const Json& value : json.find(key)->as_array(key))
    values.push_back(static_cast<T>(value.as_double(key)));
  return values;
}

double number(const Json& json, const char* key) {
  return json.find(key)->as_double(key);
}

// scikit-learn on random and degenerate labels.
TEST(Metrics, Classification) {
  for (const Json& c : cases("classification")) {
    const auto truth = numbers<int>(c, "truth"), predicted = numbers<int>(c, "predicted");
    EXPECT_NEAR(accuracy(truth, predicted), number(c, "accuracy"), 1e-12);
    EXPECT_NEAR(binary_f1(truth, predicted), number(c, "binary_f1"), 1e-12) << c.dump();
    EXPECT_NEAR(macro_f1(truth, predicted), number(c, "macro_f1"), 1e-12) << c.dump();
    EXPECT_NEAR(matthews(truth, predicted), number(c, "matthews"), 1e-12) << c.dump();
  }
}

TEST(Metrics, Ranking) {
  for (const Json& c : cases("ranking")) {
    const auto ranked = numbers<double>(c, "ranked");
    std::size_t relevant = 0;
    for (const double r : ranked) relevant += r > 0;
    const auto k = static_cast<std::size_t>(number(c, "k"));
    EXPECT_NEAR(ndcg_at(ranked, ranked, k), number(c, "ndcg"), 1e-12) << c.dump();
    EXPECT_NEAR(average_precision(ranked, relevant), number(c, "average_precision"), 1e-12) << c.dump();
  }
  const std::vector<double> ranked = {0, 0, 2, 0, 1};
  EXPECT_DOUBLE_EQ(reciprocal_rank(ranked, 10), 1.0 / 3);
  EXPECT_DOUBLE_EQ(reciprocal_rank(ranked, 2), 0);
  EXPECT_DOUBLE_EQ(recall_at(ranked, 4, 3), 0.25);
  EXPECT_DOUBLE_EQ(recall_at(ranked, 0, 3), 0);
}

// trec_eval on rankings that miss relevant documents, graded 0 to 3.
TEST(Metrics, Retrieval) {
  EXPECT_GT(cases("retrieval").size(), 40u);
  for (const Json& c : cases("retrieval")) {
    const auto ranked = numbers<double>(c, "ranked"), all = numbers<double>(c, "all");
    // trec_eval works in FP32 in places.
    EXPECT_NEAR(ndcg_at(ranked, all, 10), number(c, "ndcg_10"), 1e-7) << c.dump();
    EXPECT_NEAR(reciprocal_rank(ranked, 10), number(c, "mrr_10"), 1e-7) << c.dump();
    EXPECT_NEAR(average_precision(ranked, all.size()), number(c, "map"), 1e-7) << c.dump();
    EXPECT_NEAR(recall_at(ranked, all.size(), 10), number(c, "recall_10"), 1e-7) << c.dump();
    EXPECT_NEAR(recall_at(ranked, all.size(), 100), number(c, "recall_100"), 1e-7) << c.dump();
  }
}

// seqeval's default reading of tags, sound and unsound.
TEST(Metrics, Spans) {
  for (const Json& c : cases("spans")) {
    std::vector<std::string> tags;
    for (const Json& tag : c.find("tags")->as_array("")) tags.push_back(tag.as_string(""));
    std::vector<TagSpan> wanted;
    for (const Json& span : c.find("spans")->as_array("")) {
      const auto& parts = span.as_array("");
      wanted.push_back({parts[0].as_string(""), static_cast<std::size_t>(parts[1].as_int("")),
                        static_cast<std::size_t>(parts[2].as_int(""))});
    }
    EXPECT_EQ(spans_of(tags), wanted) << c.dump();
  }
}

TEST(Metrics, Correlation) {
  for (const Json& c : cases("correlation")) {
    const auto x = numbers<double>(c, "x"), y = numbers<double>(c, "y");
    EXPECT_NEAR(pearson(x, y), number(c, "pearson"), 1e-12);
    EXPECT_NEAR(spearman(x, y), number(c, "spearman"), 1e-12);
  }
}

}  // namespace
}  // namespace penjing
