#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace penjing {

// Words with one blank between.
std::string join_words(std::span<const std::string> words);

// For each of `words`, the index of its first token in the encoding of their joined text; -1 when it has none
// (cut off, or nothing but characters that the tokenizer drops).
std::vector<int64_t> first_tokens(std::span<const std::string> words, const Encoding& encoding);

}  // namespace penjing
