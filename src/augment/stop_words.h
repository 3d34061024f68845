#pragma once

#include <string_view>

namespace penjing::augment {

// English words that carry grammar rather than meaning, and the letters that a contraction leaves when it is
// cut at its apostrophe ("don", "t"). Without regard to case.
bool is_stop_word(std::string_view word);

}  // namespace penjing::augment
