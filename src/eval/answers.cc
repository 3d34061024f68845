#include "eval/answers.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include "base/error.h"
#include "eval/answer_text.h"
#include "text/unicode.h"

namespace penjing {

namespace {

// The `count` largest of one column of the context's logits, largest first, the first of equals.
std::vector<int64_t> largest(std::span<const float> logits, int64_t column, int64_t first, int64_t tokens,
                             int count) {
  std::vector<int64_t> order(static_cast<std::size_t>(tokens));
  std::iota(order.begin(), order.end(), first);
  const auto kept = std::min<std::ptrdiff_t>(count, static_cast<std::ptrdiff_t>(order.size()));
  std::partial_sort(order.begin(), order.begin() + kept, order.end(), [&](int64_t a, int64_t b) {
    const float x = logits[static_cast<std::size_t>(2 * a + column)],
                y = logits[static_cast<std::size_t>(2 * b + column)];
    return x != y ? x > y : a < b;
  });
  order.resize(static_cast<std::size_t>(kept));
  return order;
}

template <typename T>
T first_of(const std::optional<T>& asked, const std::optional<T>& trained, T usual) {
  return asked.value_or(trained.value_or(usual));
}

constexpr const char *kTaskParams = "task_specific_params", *kTaskName = "question-answering";
constexpr std::pair<const char*, std::optional<int64_t> AnswerInput::*> kLengths[] = {
    {"max_seq_len", &AnswerInput::max_length},
    {"doc_stride", &AnswerInput::doc_stride},
    {"max_question_len", &AnswerInput::max_question_length},
    {"max_answer_len", &AnswerInput::max_answer_length}};
constexpr const char* kThreshold = "null_score_diff_threshold";  // of transformers' run_qa.py

}  // namespace

WindowOptions window_options(const AnswerInput& asked, const AnswerInput& trained, int64_t model_length) {
  WindowOptions options;
  options.max_length = first_of(asked.max_length, trained.max_length, model_length);
  if (options.max_length > model_length) {
    fail(ErrorKind::kInput, "windows of {} tokens; the model takes {} at most", options.max_length,
         model_length);
  }
  const int64_t third = options.max_length / 3;
  options.doc_stride = first_of(asked.doc_stride, trained.doc_stride, std::min<int64_t>(128, third));
  options.max_question_length =
      first_of(asked.max_question_length, trained.max_question_length, std::min<int64_t>(64, third));
  return options;
}

AnswerOptions answer_options(const AnswerInput& asked, const AnswerInput& trained, const QuestionData& data) {
  AnswerOptions options;
  options.max_tokens = first_of(asked.max_answer_length, trained.max_answer_length, options.max_tokens);
  options.null_threshold = first_of(asked.null_threshold, trained.null_threshold, options.null_threshold);
  options.may_be_missing = data.num_unanswerable > 0;
  return options;
}

AnswerInput read_trained_answers(const Json& config) {
  AnswerInput trained;
  const Json* tasks = config.find(kTaskParams);
  const Json* own = tasks != nullptr && tasks->is_object() ? tasks->find(kTaskName) : nullptr;
  if (own == nullptr || !own->is_object()) return trained;
  for (const auto& [name, field] : kLengths) {
    if (const Json* value = own->find(name))
      trained.*field = value->as_int(fmt::format("config.json: {}", name));
  }
  if (const Json* value = own->find(kThreshold))
    trained.null_threshold = value->as_double(fmt::format("config.json: {}", kThreshold));
  return trained;
}

void write_trained_answers(Json& config, const AnswerInput& trained) {
  Json own = Json::object();
  for (const auto& [name, field] : kLengths) {
    if (trained.*field) own.set(name, *(trained.*field));
  }
  if (trained.null_threshold) own.set(kThreshold, *trained.null_threshold);
  const Json* tasks = config.find(kTaskParams);
  Json all = tasks != nullptr && tasks->is_object() ? *tasks : Json::object();
  all.set(kTaskName, own);
  config.set(kTaskParams, all);
}

void AnswerSearch::add(const AnswerWindow& window, std::span<const float> logits) {
  null_ = std::min(null_, double{logits[0]} + logits[1]);
  const auto tokens = static_cast<int64_t>(window.offsets.size());
  const std::vector<int64_t> ends = largest(logits, 1, window.first, tokens, options_.best);
  for (const int64_t start : largest(logits, 0, window.first, tokens, options_.best)) {
    for (const int64_t end : ends) {
      if (end < start || end - start + 1 > options_.max_tokens) continue;
      const double score =
          double{logits[static_cast<std::size_t>(2 * start)]} + logits[static_cast<std::size_t>(2 * end + 1)];
      if (score <= score_) continue;
      score_ = score;
      span_ = {window.offsets[static_cast<std::size_t>(start - window.first)].first,
               window.offsets[static_cast<std::size_t>(end - window.first)].second};
    }
  }
}

std::pair<int64_t, int64_t> AnswerSearch::span() const {
  if (options_.may_be_missing && null_ - score_ > options_.null_threshold) return {0, 0};
  return span_;
}

TaskResult score_answers(const QuestionData& data, const std::vector<std::pair<int64_t, int64_t>>& spans) {
  struct Outcome {
    double exact = 0, f1 = 0;
    bool has_answer = false;
  };
  const auto outcomes = std::make_shared<std::vector<Outcome>>();
  const AnswerRules rules = data.num_unanswerable > 0 ? AnswerRules::kSquad2 : AnswerRules::kSquad1;
  TaskResult result;
  std::vector<std::vector<int64_t>> bytes;
  for (const std::string& context : data.contexts) bytes.push_back(byte_offsets(context));
  for (std::size_t i = 0; i < data.questions.size(); ++i) {
    const Question& question = data.questions[i];
    const auto& at = bytes[question.context];
    const auto begin = static_cast<std::size_t>(at[static_cast<std::size_t>(spans[i].first)]);
    const auto end = static_cast<std::size_t>(at[static_cast<std::size_t>(spans[i].second)]);
    const std::string predicted = data.contexts[question.context].substr(begin, end - begin);
    outcomes->push_back({answer_exact(predicted, question.answers, rules),
                         answer_f1(predicted, question.answers, rules), !question.answers.empty()});
    result.texts.push_back(predicted);
    result.outputs.push_back(static_cast<double>(begin * 65536 + (end - begin)));
  }
  const auto metric = [&](const char* name, double Outcome::*value,
                          int kind) {  // kind: -1 all, 0 no answer, 1 answer
    result.metrics.push_back({name, [outcomes, value, kind](std::span<const std::size_t> examples) {
                                double sum = 0, count = 0;
                                for (const std::size_t i : examples) {
                                  const Outcome& outcome = (*outcomes)[i];
                                  if (kind >= 0 && outcome.has_answer != (kind == 1)) continue;
                                  sum += outcome.*value;
                                  count += 1;
                                }
                                return count > 0 ? sum / count : 0;
                              }});
  };
  metric("f1", &Outcome::f1, -1);
  metric("exact_match", &Outcome::exact, -1);
  if (data.num_unanswerable > 0) {
    metric("HasAns_f1", &Outcome::f1, 1);
    metric("HasAns_exact", &Outcome::exact, 1);
    metric("NoAns_f1", &Outcome::f1, 0);
  }
  result.num_examples = outcomes->size();
  result.file = data.file;
  result.reading = data.reading;
  return result;
}

}  // namespace penjing
