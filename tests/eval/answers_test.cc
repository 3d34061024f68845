#include "eval/answers.h"

#include <gtest/gtest.h>

#include <numeric>

namespace penjing {
namespace {

// Expected values are those of SQuAD's evaluate-v2.0.py (normalize_answer), run in Python.
TEST(Answers, AreNormalizedAsSquadsScriptDoes) {
  const std::pair<const char*, const char*> cases[] = {{"The  Cat, sat!", "cat sat"},
                                                       {"an A.B.C. the", "abc"},
                                                       {"a", ""},
                                                       {"U.S. $1,000", "us 1000"},
                                                       {"the–cat", "–cat"},
                                                       {"Éa the É", "éa é"},
                                                       {"theatre a-b", "theatre ab"},
                                                       {"don't  the\tthe end", "dont end"},
                                                       {"naïve «the» x", "naïve « » x"},
                                                       {"snake_case the", "snakecase"}};
  for (const auto& [text, wanted] : cases) EXPECT_EQ(normalize_answer(text), wanted) << text;
}

TEST(Answers, F1IsOfBagsOfWords) {
  const std::vector<Question::Answer> right = {{"the big red house", 0}, {"house house", 9}};
  EXPECT_NEAR(answer_f1("a red house", right), 2 * 2.0 / (2 + 3), 1e-12);
  EXPECT_NEAR(answer_f1("House, house", right), 1, 1e-12);
  EXPECT_EQ(answer_exact("House, house", right), 1);
  EXPECT_EQ(answer_exact("house", right), 0);
  EXPECT_NEAR(answer_f1("house", right), 2 * 1.0 / 3, 1e-12);
  EXPECT_EQ(answer_f1("", right), 0);
  EXPECT_EQ(answer_f1("", {}), 1);
  EXPECT_EQ(answer_f1("house", {}), 0);
}

AnswerWindow window_of(int64_t first, int tokens, int begin) {
  AnswerWindow window;
  window.first = first;
  for (int i = 0; i < tokens; ++i) window.offsets.emplace_back(begin + 4 * i, begin + 4 * i + 3);
  return window;
}

TEST(Answers, TheBestSpanIsWithinTheContextAndTheLength) {
  AnswerOptions options;
  options.max_tokens = 2;
  AnswerSearch search(options);
  // Tokens 0, 1 are the question's: their high logits count for nothing. Token 4 starts, 3 ends: not in this
  // order.
  search.add(window_of(2, 3, 0), std::vector<float>{9, 9, 9, 9, /*2*/ 1, 0, /*3*/ 0, 5, /*4*/ 3, 1});
  EXPECT_EQ(search.span(), (std::pair<int64_t, int64_t>{0, 7}));  // 2 to 3: 6; 4 to 4: 4
  search.add(window_of(2, 3, 100), std::vector<float>{0, 0, 0, 0, 4, 0, 0, 0, 0, 9});
  EXPECT_EQ(search.span(), (std::pair<int64_t, int64_t>{104, 111}));  // 2 to 4 is too long, 3 to 4: 9
}

TEST(Answers, NoAnswerMustWinInEveryWindow) {
  AnswerOptions options;
  options.may_be_missing = true;
  AnswerSearch search(options);
  search.add(window_of(1, 1, 0), std::vector<float>{3, 3, 2, 2});
  EXPECT_EQ(search.span(), (std::pair<int64_t, int64_t>{0, 0}));
  AnswerSearch other = search;
  other.add(window_of(1, 1, 50), std::vector<float>{1, 1, 0, 0});  // this one is not sure: 2 < 4
  EXPECT_EQ(other.span(), (std::pair<int64_t, int64_t>{0, 3}));
  options.may_be_missing = false;
  AnswerSearch always(options);
  always.add(window_of(1, 1, 0), std::vector<float>{3, 3, 2, 2});
  EXPECT_EQ(always.span(), (std::pair<int64_t, int64_t>{0, 3}));
}

TEST(Answers, ScoresTellThoseWithAnAnswerApart) {
  QuestionData data;
  data.contexts = {"Żółw: the red house"};
  data.questions = {{"1", "?", 0, {{"red house", 10}}}, {"2", "?", 0, {}}, {"3", "?", 0, {{"Żółw", 0}}}};
  data.num_unanswerable = 1;
  const TaskResult result = score_answers(data, {{6, 13}, {0, 4}, {0, 4}});
  std::vector<std::size_t> all = {0, 1, 2};
  const auto value = [&](std::size_t i) { return result.metrics[i].value(all); };
  // "the red" against "red house": precision 1, recall 1/2.
  EXPECT_NEAR(value(0), (2.0 / 3 + 0 + 1) / 3, 1e-12);
  EXPECT_NEAR(value(1), 1.0 / 3, 1e-12);
  EXPECT_EQ(result.metrics[2].name, "HasAns_f1");
  EXPECT_NEAR(value(2), (2.0 / 3 + 1) / 2, 1e-12);
  EXPECT_NEAR(value(4), 0, 1e-12);
}

}  // namespace
}  // namespace penjing
