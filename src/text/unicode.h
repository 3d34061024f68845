#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penjing {

// Decodes UTF-8. A byte sequence that is not well formed becomes one U+FFFD per maximal subpart (Unicode
// 15, 3.9); `strict` makes it an Error (kInput) with the byte's position instead.
std::vector<uint32_t> decode_utf8(std::string_view text, bool strict = false);
void append_utf8(std::string& out, uint32_t code_point);

// Byte offset of each code point of `text` as decode_utf8 counts them, plus the end: size + 1 entries.
std::vector<int64_t> byte_offsets(std::string_view text);

// Properties as the Hugging Face tokenizers library has them (unicode_tables.inc).
enum CharacterClass : uint8_t {
  kRemovedByCleaning = 1,
  kBecomesSpace = 2,
  kIsSpace = 4,
  kIsPunctuation = 8,
  kIsChinese = 16,
  kIsStripped = 32,  // non-spacing mark
};
uint8_t classify_character(uint32_t code_point);

// Full canonical decomposition, and full lower-casing, of one code point. The span is valid until the next
// call on this thread.
std::span<const uint32_t> decompose(uint32_t code_point);
std::span<const uint32_t> to_lower(uint32_t code_point);
uint8_t combining_class(uint32_t code_point);

}  // namespace penjing
