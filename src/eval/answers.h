#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/questions.h"
#include "eval/evaluation.h"
#include "text/answer_windows.h"

namespace penjing {

// A text as SQuAD's script compares it: lower case, without ASCII punctuation and the articles a, an, the,
// words with one blank between.
std::string normalize_answer(std::string_view text);

// The best over the right answers; none means that "" is right. F1 of the bags of words; where either is
// empty, 1 when both are (the script of SQuAD 2.0).
double answer_exact(std::string_view predicted, std::span<const Question::Answer> right);
double answer_f1(std::string_view predicted, std::span<const Question::Answer> right);

struct AnswerOptions {
  int best = 20;                // candidates for first and last token
  int64_t max_tokens = 30;      // of an answer
  bool may_be_missing = false;  // SQuAD 2.0
  double null_threshold = 0;    // "no answer" must score so much above the best answer
};

// The best answer to one question over its windows: the largest sum of a start and an end logit.
class AnswerSearch {
 public:
  explicit AnswerSearch(const AnswerOptions& options) : options_(options) {}
  // logits: start and end of each token of the window, [tokens, 2].
  void add(const AnswerWindow& window, std::span<const float> logits);
  // [begin, end) in code points of the context; {0, 0}: no answer.
  std::pair<int64_t, int64_t> span() const;

 private:
  AnswerOptions options_;
  double score_ = -std::numeric_limits<double>::infinity();
  double null_ = std::numeric_limits<double>::infinity();
  std::pair<int64_t, int64_t> span_{0, 0};
};

// f1 (the main one) and exact_match from 0 to 1; where questions without an answer are among them also
// HasAns_f1, HasAns_exact, NoAns_f1. spans: what was found for each question.
TaskResult score_answers(const QuestionData& data, const std::vector<std::pair<int64_t, int64_t>>& spans);

}  // namespace penjing
