#include <gtest/gtest.h>

#include <numeric>

#include "eval/evaluation.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

// Logits that the text spells: "+-+".
TaskModel spelled_model() {
  TaskModel model;
  model.labels = {"a", "b", "c"};
  model.classify = [](const std::vector<std::string>& texts, const std::vector<std::string>&) {
    TaskModel::Rows rows;
    for (const std::string& text : texts) {
      rows.emplace_back();
      for (const char sign : text) rows.back().push_back(sign == '+' ? 0.5f : -0.5f);
    }
    return rows;
  };
  return model;
}

TEST(MultiLabel, ScoresAreThoseOfScikitLearn) {
  TestFolder folder("multi");
  // Truth: {a, c}, {}, {b}, {a, b}; predicted: {a, c}, {c}, {b}, {a}.
  write_bytes(folder / "test.jsonl",
              "{\"text\":\"+-+\",\"labels\":[\"c\",\"a\",\"a\"]}\n{\"text\":\"--+\",\"labels\":[]}\n"
              "{\"text\":\"-+-\",\"labels\":[\"b\"]}\n{\"text\":\"+--\",\"labels\":[\"a\",\"b\"]}\n");
  write_bytes(folder / "dev.tsv", "text\tlabels\n+-+\ta, c\n--+\t\n-+-\tb\n+--\tb,a\n");
  for (const char* split : {"test", "dev"}) {
    SCOPED_TRACE(split);
    TaskInput input;
    input.data = folder.path();
    input.split = split;
    const TaskResult result = find_task("multi_label")->run(spelled_model(), input);
    std::vector<std::size_t> all(result.num_examples);
    std::iota(all.begin(), all.end(), std::size_t{0});
    ASSERT_EQ(all.size(), 4u);
    // a: 2 of 2 right; b: 1 found of 2; c: 1 right of 2 found. Micro: 4 right, 5 found, 5 there.
    EXPECT_EQ(result.metrics[0].name, "f1_micro");
    EXPECT_NEAR(result.metrics[0].value(all), 8.0 / 10, 1e-12);
    EXPECT_NEAR(result.metrics[1].value(all), (1 + 2.0 / 3 + 2.0 / 3) / 3, 1e-12);
    EXPECT_NEAR(result.metrics[2].value(all), 0.5, 1e-12);
    EXPECT_NE(result.outputs[0], result.outputs[1]);
  }
}

TEST(MultiLabel, RefusesAnUnknownLabelAndABrokenList) {
  TestFolder folder("multi");
  TaskInput input;
  write_bytes(folder / "test.tsv", "text\tlabels\n+-+\ta,d\n");
  input.data = folder.path();
  EXPECT_NE(
      error_of([&] { find_task("multi-label")->run(spelled_model(), input); }).find("line 2: label \"d\""),
      std::string::npos);
  write_bytes(folder / "test.tsv", "text\tlabels\n+-+\t[\"a\"\n");
  EXPECT_NE(error_of([&] { find_task("multi-label")->run(spelled_model(), input); }).find("line 2: labels"),
            std::string::npos);
}

TEST(MultiLabel, AnEmptyLabelIsRefusedWhereOneIsWanted) {
  TestFolder folder("multi");
  write_bytes(folder / "test.tsv", "text\tlabel\none\t\n");
  EXPECT_NE(error_of([&] {
              read_dataset({folder / "test.tsv", ""});
            }).find("the label is empty"),
            std::string::npos);
}

}  // namespace
}  // namespace penjing
