#include "eval/answers.h"

#include <gtest/gtest.h>

#include <set>

#include "base/hash.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "eval/answer_text.h"
#include "text/unicode.h"

namespace penjing {
namespace {

constexpr AnswerRules kRules[] = {AnswerRules::kSquad1, AnswerRules::kSquad2};

// tools/oracles/answers_reference.py: the rules of SQuAD's scripts in Python.
Json reference() {
  return Json::parse(
      read_text_file(std::string(PENJING_SOURCE_DIR) + "/tests/data/answers_reference.json", 1 << 20),
      "answers_reference.json");
}

TEST(Answers, AreScoredAsSquadsScriptsDoOnStrangeStrings) {
  const Json stored = reference();
  int partial = 0, different = 0;
  for (const Json& one : stored.find("cases")->as_array("cases")) {
    const std::string predicted = one.find("predicted")->as_string("");
    std::vector<Question::Answer> right;
    for (const Json& answer : one.find("right")->as_array("")) right.push_back({answer.as_string(""), 0});
    EXPECT_EQ(normalize_answer(predicted), one.find("normal")->as_string("")) << predicted;
    const auto& exact = one.find("exact")->as_array("");
    const auto& f1 = one.find("f1")->as_array("");
    for (std::size_t rules = 0; rules < 2; ++rules) {
      EXPECT_EQ(answer_exact(predicted, right, kRules[rules]), exact[rules].as_double("")) << predicted;
      EXPECT_EQ(answer_f1(predicted, right, kRules[rules]), f1[rules].as_double("")) << predicted;
    }
    partial += f1[0].as_double("") > 0 && f1[0].as_double("") < 1 ? 1 : 0;
    different += f1[0].as_double("") != f1[1].as_double("") ? 1 : 0;
  }
  EXPECT_GT(partial, 40);
  EXPECT_GT(different, 5);
}

std::string utf8(uint32_t c) {
  std::string text;
  append_utf8(text, c);
  return text;
}

TEST(Answers, AreNormalizedAsPythonDoesForEveryCodePoint) {
  const Json stored = reference();
  std::set<uint32_t> unassigned;
  for (const Json& range : stored.find("unassigned")->as_array("")) {
    const auto& ends = range.as_array("");
    for (int64_t c = ends[0].as_int(""); c <= ends[1].as_int(""); ++c)
      unassigned.insert(static_cast<uint32_t>(c));
  }
  const auto& blocks = stored.find("blocks")->as_array("");
  ASSERT_EQ(blocks.size(), 0x110000u / 4096);
  for (uint32_t block = 0; block < blocks.size(); ++block) {
    std::string forms;
    for (uint32_t c = block * 4096; c < (block + 1) * 4096; ++c) {
      if ((c >= 0xD800 && c < 0xE000) || unassigned.contains(c)) continue;
      const std::string x = utf8(c);
      forms += normalize_answer("the" + x + "a b" + x + "an") + "\n";
      forms += normalize_answer(x + " Α" + x + "Σ" + x) + "\n";
      forms += normalize_answer(x + "Σ ΑΣ" + x + "Α") + "\n";
    }
    EXPECT_EQ(sha256_hex(std::as_bytes(std::span(forms))).substr(0, 16), blocks[block].as_string(""))
        << "code points from " << block * 4096;
  }
}

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
  EXPECT_NEAR(answer_f1("a red house", right, AnswerRules::kSquad2), 2 * 2.0 / (2 + 3), 1e-12);
  EXPECT_NEAR(answer_f1("House, house", right, AnswerRules::kSquad2), 1, 1e-12);
  EXPECT_EQ(answer_exact("House, house", right, AnswerRules::kSquad2), 1);
  EXPECT_EQ(answer_exact("house", right, AnswerRules::kSquad2), 0);
  EXPECT_NEAR(answer_f1("house", right, AnswerRules::kSquad2), 2 * 1.0 / 3, 1e-12);
  EXPECT_EQ(answer_f1("", right, AnswerRules::kSquad2), 0);
  EXPECT_EQ(answer_f1("", {}, AnswerRules::kSquad2), 1);
  EXPECT_EQ(answer_f1("house", {}, AnswerRules::kSquad2), 0);
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
