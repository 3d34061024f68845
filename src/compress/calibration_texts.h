#pragma once

#include <span>
#include <string_view>

namespace penjing {

// Sentences that ship with the program, for calibration when the user gives none: many subjects, lengths of 1
// to 60 words, questions, fragments, numbers, names, titles, code. Written for Penjing. A user's own texts
// are better.
std::span<const std::string_view> builtin_calibration_texts();

}  // namespace penjing
