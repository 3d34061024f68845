#include "eval/answers.h"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>

#include "text/unicode.h"

namespace penjing {

namespace {

bool is_word_character(uint32_t c) {
  if (c < 128) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '_';
  return (classify_character(c) & (kIsPunctuation | kIsSpace)) == 0;
}

bool is_ascii_punctuation(uint32_t c) {
  return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
}

bool is_article(std::string_view word) {
  return word == "a" || word == "an" || word == "the";
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

double f1(const std::vector<std::string>& predicted, const std::vector<std::string>& right) {
  if (predicted.empty() || right.empty()) return predicted.empty() == right.empty() ? 1 : 0;
  std::map<std::string, int> left;
  for (const std::string& word : right) ++left[word];
  double same = 0;
  for (const std::string& word : predicted) {
    if (const auto found = left.find(word); found != left.end() && found->second-- > 0) same += 1;
  }
  return 2 * same / static_cast<double>(predicted.size() + right.size());
}

// The right answers' normal forms, empty ones left out; {""} when there is none.
std::vector<std::string> normal_forms(std::span<const Question::Answer> right) {
  std::vector<std::string> forms;
  for (const Question::Answer& answer : right) {
    if (std::string form = normalize_answer(answer.text); !form.empty()) forms.push_back(std::move(form));
  }
  if (forms.empty()) forms.emplace_back();
  return forms;
}

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

}  // namespace

std::string normalize_answer(std::string_view text) {
  std::vector<uint32_t> characters;
  for (const uint32_t c : decode_utf8(text)) {
    for (const uint32_t low : to_lower(c)) {
      if (!is_ascii_punctuation(low)) characters.push_back(low);
    }
  }
  std::string result, word;
  bool gap = false;
  const auto put = [&](const std::string& piece) {
    if (gap && !result.empty()) result += ' ';
    gap = false;
    result += piece;
  };
  const auto end_word = [&] {
    if (is_article(word)) {
      gap = true;
    } else if (!word.empty()) {
      put(word);
    }
    word.clear();
  };
  for (const uint32_t c : characters) {
    if (is_word_character(c)) {
      append_utf8(word, c);
      continue;
    }
    end_word();
    const bool space = c == ' ' || (c >= 9 && c <= 13) || (classify_character(c) & kIsSpace) != 0;
    if (space) {
      gap = true;
    } else {
      std::string other;
      append_utf8(other, c);
      put(other);
    }
  }
  end_word();
  return result;
}

double answer_exact(std::string_view predicted, std::span<const Question::Answer> right) {
  const std::string form = normalize_answer(predicted);
  const auto forms = normal_forms(right);
  return std::find(forms.begin(), forms.end(), form) != forms.end() ? 1 : 0;
}

double answer_f1(std::string_view predicted, std::span<const Question::Answer> right) {
  const std::vector<std::string> words = words_of(normalize_answer(predicted));
  double best = 0;
  for (const std::string& form : normal_forms(right)) best = std::max(best, f1(words, words_of(form)));
  return best;
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
  TaskResult result;
  std::vector<std::vector<int64_t>> bytes;
  for (const std::string& context : data.contexts) bytes.push_back(byte_offsets(context));
  for (std::size_t i = 0; i < data.questions.size(); ++i) {
    const Question& question = data.questions[i];
    const auto& at = bytes[question.context];
    const auto begin = static_cast<std::size_t>(at[static_cast<std::size_t>(spans[i].first)]);
    const auto end = static_cast<std::size_t>(at[static_cast<std::size_t>(spans[i].second)]);
    const std::string predicted = data.contexts[question.context].substr(begin, end - begin);
    outcomes->push_back({answer_exact(predicted, question.answers), answer_f1(predicted, question.answers),
                         !question.answers.empty()});
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
