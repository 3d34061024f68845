#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace penjing::augment {

// A word as the tokenizer sees it before it cuts words into pieces.
struct TextWord {
  std::size_t begin = 0, end = 0;  // bytes of the text
  std::size_t first_piece = 0, num_pieces = 0;
};

// A text and its words; what stands between them is kept as it is.
struct SplitText {
  std::string text;
  std::vector<int32_t> pieces;  // ids, without special tokens
  std::vector<TextWord> words;

  std::string_view word(std::size_t i) const {
    return std::string_view(text).substr(words[i].begin, words[i].end - words[i].begin);
  }
  std::span<const int32_t> pieces_of(std::size_t i) const {
    return std::span(pieces).subspan(words[i].first_piece, words[i].num_pieces);
  }
};
SplitText split_text(const Tokenizer& tokenizer, const std::string& text);

// The text with words replaced where `replacements` (one a word) says so.
using Replacements = std::vector<std::optional<std::string>>;
std::string replace_words(const SplitText& text, const Replacements& replacements);
// Of it only the words [first, last).
std::string replace_words(const SplitText& text, const Replacements& replacements, std::size_t first,
                          std::size_t last);

}  // namespace penjing::augment
