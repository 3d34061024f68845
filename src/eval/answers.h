#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "base/json.h"
#include "data/questions.h"
#include "eval/evaluation.h"
#include "text/answer_windows.h"

namespace penjing {

struct AnswerOptions {
  int best = 20;                // candidates for first and last token
  int64_t max_tokens = 30;      // of an answer
  bool may_be_missing = false;  // SQuAD 2.0
  double null_threshold = 0;    // "no answer" must score so much above the best answer
};

// What was asked; else what the model was trained with; else windows of model_length tokens that share 128 of
// the text (at most a third of the window), questions of 64 tokens (likewise). kInput when the model takes
// fewer tokens than asked.
WindowOptions window_options(const AnswerInput& asked, const AnswerInput& trained, int64_t model_length);
AnswerOptions answer_options(const AnswerInput& asked, const AnswerInput& trained, const QuestionData& data);

// What a model was trained with, in its config.json: task_specific_params, "question-answering", by the names
// of the Hugging Face pipeline's parameters.
AnswerInput read_trained_answers(const Json& config);
void write_trained_answers(Json& config, const AnswerInput& trained);

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

// f1 (the main one) and exact_match from 0 to 1, by the rules of SQuAD 1.1; where questions without an answer
// are among them by those of SQuAD 2.0, and also HasAns_f1, HasAns_exact, NoAns_f1. spans: what was found for
// each question.
TaskResult score_answers(const QuestionData& data, const std::vector<std::pair<int64_t, int64_t>>& spans);

}  // namespace penjing
