#pragma once

#include <span>
#include <string>
#include <string_view>

#include "data/questions.h"

namespace penjing {

// A text as SQuAD's scripts compare it: lower case, without ASCII punctuation and the articles a, an, the,
// words with one blank between. Code point for code point what Python does there (answer_characters.inc), the
// final sigma included.
std::string normalize_answer(std::string_view text);

// evaluate-v1.1.py: every right answer counts, and two texts without a common word have F1 0.
// evaluate-v2.0.py: right answers that normalize to nothing are left out; where none is left, "" is right; F1
// of two empty texts is 1.
enum class AnswerRules { kSquad1, kSquad2 };

// The best over the right answers: 1 where the normalized texts are equal; F1 of their bags of words.
double answer_exact(std::string_view predicted, std::span<const Question::Answer> right, AnswerRules rules);
double answer_f1(std::string_view predicted, std::span<const Question::Answer> right, AnswerRules rules);

}  // namespace penjing
