#include "text/words.h"

#include "text/unicode.h"

namespace penjing {

std::string join_words(std::span<const std::string> words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) text += (i == 0 ? "" : " ") + words[i];
  return text;
}

std::vector<int64_t> first_tokens(std::span<const std::string> words, const Encoding& encoding) {
  std::vector<int64_t> first(words.size(), -1);
  std::size_t token = 0;
  int64_t begin = 0;  // code points before the word
  for (std::size_t w = 0; w < words.size(); ++w) {
    const int64_t end = begin + static_cast<int64_t>(byte_offsets(words[w]).size()) - 1;
    while (token < encoding.ids.size() &&
           (encoding.special_mask[token] != 0 || encoding.offsets[token].first < begin)) {
      ++token;
    }
    if (token < encoding.ids.size() && encoding.offsets[token].first < end) {
      first[w] = static_cast<int64_t>(token);
    }
    begin = end + 1;
  }
  return first;
}

}  // namespace penjing
