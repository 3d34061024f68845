#include "augment/split_text.h"

#include "text/unicode.h"

namespace penjing::augment {

SplitText split_text(const Tokenizer& tokenizer, const std::string& text) {
  EncodeOptions how;
  how.add_special_tokens = false;
  const Encoding encoding = tokenizer.encode(text, how);
  const std::vector<int64_t> bytes = byte_offsets(text);
  SplitText split{text, encoding.ids, {}};
  int32_t word = -1;
  for (std::size_t i = 0; i < encoding.ids.size(); ++i) {
    const auto begin = static_cast<std::size_t>(bytes[static_cast<std::size_t>(encoding.offsets[i].first)]);
    const auto end = static_cast<std::size_t>(bytes[static_cast<std::size_t>(encoding.offsets[i].second)]);
    if (encoding.words[i] != word) split.words.push_back({begin, end, i, 0});
    word = encoding.words[i];
    split.words.back().end = end;
    ++split.words.back().num_pieces;
  }
  return split;
}

std::string replace_words(const SplitText& text, const Replacements& replacements, std::size_t first,
                          std::size_t last) {
  std::string result;
  std::size_t at = first < last ? text.words[first].begin : 0;
  for (std::size_t i = first; i < last; ++i) {
    const TextWord& word = text.words[i];
    result.append(text.text, at, word.begin - at);
    result += replacements[i] ? *replacements[i] : std::string(text.word(i));
    at = word.end;
  }
  return result;
}

std::string replace_words(const SplitText& text, const Replacements& replacements) {
  if (text.words.empty()) return text.text;
  return text.text.substr(0, text.words.front().begin) +
         replace_words(text, replacements, 0, text.words.size()) + text.text.substr(text.words.back().end);
}

}  // namespace penjing::augment
