#include "eval/answer_text.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <vector>

#include "text/unicode.h"

namespace penjing {

namespace {

struct CodePoints {
  uint32_t first, last;
};
#include "eval/answer_characters.inc"

template <std::size_t N>
bool is_among(const CodePoints (&ranges)[N], uint32_t c) {
  const auto* range = std::lower_bound(std::begin(ranges), std::end(ranges), c,
                                       [](const CodePoints& r, uint32_t value) { return r.last < value; });
  return range != std::end(ranges) && range->first <= c;
}

bool is_letter(uint32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
// \w of Python's re.
bool is_word_character(uint32_t c) {
  if (c < 0x80) return is_letter(c) || (c >= '0' && c <= '9') || c == '_';
  return is_among(kWordCharacters, c);
}
// White space of Python's str.split.
bool is_space(uint32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31);
  return is_among(kSpaces, c);
}
bool is_cased(uint32_t c) {
  return c < 0x80 ? is_letter(c) : is_among(kCased, c);
}
bool is_case_ignorable(uint32_t c) {
  if (c < 0x80) return c == '\'' || c == '.' || c == ':' || c == '^' || c == '`';
  return is_among(kCaseIgnorable, c);
}
bool is_ascii_punctuation(uint32_t c) {
  return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
}
bool is_article(std::string_view word) {
  return word == "a" || word == "an" || word == "the";
}

constexpr uint32_t kCapitalSigma = 0x3A3, kFinalSigma = 0x3C2;

// Unicode's Final_Sigma: behind a cased letter and before none, whatever case-ignorable characters lie
// between.
bool is_final(const std::vector<uint32_t>& text, std::size_t at) {
  std::size_t before = at;
  while (before > 0 && is_case_ignorable(text[before - 1])) --before;
  if (before == 0 || !is_cased(text[before - 1])) return false;
  std::size_t after = at + 1;
  while (after < text.size() && is_case_ignorable(text[after])) ++after;
  return after == text.size() || !is_cased(text[after]);
}

// Lower case, without ASCII punctuation.
std::vector<uint32_t> lower_without_punctuation(std::string_view text) {
  const std::vector<uint32_t> characters = decode_utf8(text);
  std::vector<uint32_t> kept;
  for (std::size_t i = 0; i < characters.size(); ++i) {
    if (characters[i] == kCapitalSigma && is_final(characters, i)) {
      kept.push_back(kFinalSigma);
      continue;
    }
    for (const uint32_t low : to_lower(characters[i])) {
      if (!is_ascii_punctuation(low)) kept.push_back(low);
    }
  }
  return kept;
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

double f1(const std::vector<std::string>& predicted, const std::vector<std::string>& right,
          AnswerRules rules) {
  if (rules == AnswerRules::kSquad2 && predicted.empty() && right.empty()) return 1;
  std::map<std::string, int> left;
  for (const std::string& word : right) ++left[word];
  double same = 0;
  for (const std::string& word : predicted) {
    if (const auto found = left.find(word); found != left.end() && found->second-- > 0) same += 1;
  }
  if (same == 0) return 0;
  const double precision = same / static_cast<double>(predicted.size()),
               recall = same / static_cast<double>(right.size());
  return 2 * precision * recall / (precision + recall);
}

std::vector<std::string> normal_forms(std::span<const Question::Answer> right, AnswerRules rules) {
  std::vector<std::string> forms;
  for (const Question::Answer& answer : right) {
    std::string form = normalize_answer(answer.text);
    if (rules == AnswerRules::kSquad1 || !form.empty()) forms.push_back(std::move(form));
  }
  if (forms.empty()) forms.emplace_back();
  return forms;
}

}  // namespace

std::string normalize_answer(std::string_view text) {
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
  for (const uint32_t c : lower_without_punctuation(text)) {
    if (is_word_character(c)) {
      append_utf8(word, c);
      continue;
    }
    end_word();
    if (is_space(c)) {
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

double answer_exact(std::string_view predicted, std::span<const Question::Answer> right, AnswerRules rules) {
  const std::string form = normalize_answer(predicted);
  const auto forms = normal_forms(right, rules);
  return std::find(forms.begin(), forms.end(), form) != forms.end() ? 1 : 0;
}

double answer_f1(std::string_view predicted, std::span<const Question::Answer> right, AnswerRules rules) {
  const std::vector<std::string> words = words_of(normalize_answer(predicted));
  double best = 0;
  for (const std::string& form : normal_forms(right, rules))
    best = std::max(best, f1(words, words_of(form), rules));
  return best;
}

}  // namespace penjing
