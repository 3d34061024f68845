#include "text/unicode.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <unordered_map>

#include "base/error.h"

namespace penjing {

namespace {

struct Range {
  uint32_t first, last;
};
struct ClassRange {
  uint32_t first, last;
  uint8_t combining_class;
};
#include "text/unicode_tables.inc"

constexpr uint32_t kNumCodePoints = 0x110000;

// Of the first code points, as many as there is room for.
template <typename Classes>
void mark_classes(Classes& classes) {
  const auto mark = [&](std::span<const Range> ranges, uint8_t flag) {
    for (const Range& range : ranges) {
      for (uint32_t c = range.first; c <= range.last && c < classes.size(); ++c) classes[c] |= flag;
    }
  };
  mark(kRemoved, kRemovedByCleaning);
  mark(kCleanedToSpace, kBecomesSpace);
  mark(kSpace, kIsSpace);
  mark(kPunctuation, kIsPunctuation);
  mark(kChinese, kIsChinese);
  mark(kStripped, kIsStripped);
}

// Most texts need no more, and the tables of all code points take a millisecond to make.
struct AsciiClasses {
  std::array<uint8_t, 0x80> classes{};
  AsciiClasses() { mark_classes(classes); }
};

struct Tables {
  std::vector<uint8_t> classes = std::vector<uint8_t>(kNumCodePoints, 0);
  // Position of a mapping's length in the generated array.
  std::unordered_map<uint32_t, uint32_t> decomposed, lower;

  template <std::size_t N>
  static void index(const uint32_t (&flat)[N], std::unordered_map<uint32_t, uint32_t>& map) {
    for (uint32_t i = 0; i < N; i += 2 + flat[i + 1]) map.emplace(flat[i], i + 1);
  }

  Tables() {
    mark_classes(classes);
    index(kDecomposed, decomposed);
    index(kLower, lower);
  }
};

const Tables& tables() {
  static const Tables instance;
  return instance;
}

thread_local uint32_t scratch[3];

std::span<const uint32_t> unchanged(uint32_t code_point) {
  scratch[0] = code_point;
  return {scratch, 1};
}

// Hangul syllables decompose by arithmetic (Unicode, 3.12).
std::span<const uint32_t> decompose_hangul(uint32_t code_point) {
  const uint32_t index = code_point - 0xAC00;
  scratch[0] = 0x1100 + index / 588;
  scratch[1] = 0x1161 + index % 588 / 28;
  scratch[2] = 0x11A7 + index % 28;
  return {scratch, index % 28 == 0 ? std::size_t{2} : std::size_t{3}};
}

// Decodes the sequence at text[i], advancing i past it or past its maximal well-formed start; false when
// malformed.
bool decode_one(std::string_view text, std::size_t& i, uint32_t& code_point) {
  const auto byte = [&](std::size_t at) { return static_cast<uint8_t>(text[at]); };
  const uint8_t first = byte(i++);
  if (first < 0x80) return code_point = first, true;
  int extra = 0;
  uint8_t low = 0x80, high = 0xBF;  // bounds of the second byte
  if (first >= 0xC2 && first <= 0xDF) {
    extra = 1, code_point = first & 0x1Fu;
  } else if (first >= 0xE0 && first <= 0xEF) {
    extra = 2, code_point = first & 0x0Fu;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;  // no surrogates
  } else if (first >= 0xF0 && first <= 0xF4) {
    extra = 3, code_point = first & 0x07u;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return false;
  }
  for (; extra > 0; --extra) {
    if (i >= text.size() || byte(i) < low || byte(i) > high) return false;
    code_point = code_point << 6 | (byte(i++) & 0x3Fu);
    low = 0x80, high = 0xBF;
  }
  return true;
}

constexpr uint32_t kReplacement = 0xFFFD;

}  // namespace

std::vector<uint32_t> decode_utf8(std::string_view text, bool strict) {
  std::vector<uint32_t> points;
  points.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t at = i;
    uint32_t code_point = 0;
    if (!decode_one(text, i, code_point)) {
      if (strict) fail(ErrorKind::kInput, "the text is not valid UTF-8 at byte {}", at);
      code_point = kReplacement;
    }
    points.push_back(code_point);
  }
  return points;
}

std::vector<int64_t> byte_offsets(std::string_view text) {
  std::vector<int64_t> offsets;
  for (std::size_t i = 0; i < text.size();) {
    offsets.push_back(static_cast<int64_t>(i));
    uint32_t ignored = 0;
    decode_one(text, i, ignored);
  }
  offsets.push_back(static_cast<int64_t>(text.size()));
  return offsets;
}

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

uint8_t classify_character(uint32_t code_point) {
  static const AsciiClasses ascii;
  if (code_point < ascii.classes.size()) return ascii.classes[code_point];
  return code_point < kNumCodePoints ? tables().classes[code_point] : uint8_t{kRemovedByCleaning};
}

std::span<const uint32_t> decompose(uint32_t code_point) {
  if (code_point < 0xC0) return unchanged(code_point);
  if (code_point >= 0xAC00 && code_point <= 0xD7A3) return decompose_hangul(code_point);
  const auto found = tables().decomposed.find(code_point);
  if (found == tables().decomposed.end()) return unchanged(code_point);
  return {kDecomposed + found->second + 1, kDecomposed[found->second]};
}

std::span<const uint32_t> to_lower(uint32_t code_point) {
  if (code_point < 0x80)
    return unchanged(code_point >= 'A' && code_point <= 'Z' ? code_point + 32 : code_point);
  const auto found = tables().lower.find(code_point);
  if (found == tables().lower.end()) return unchanged(code_point);
  return {kLower + found->second + 1, kLower[found->second]};
}

uint8_t combining_class(uint32_t code_point) {
  if (code_point < 0x300) return 0;
  const ClassRange* const end = std::end(kClasses);
  const ClassRange* range = std::lower_bound(std::begin(kClasses), end, code_point,
                                             [](const ClassRange& r, uint32_t c) { return r.last < c; });
  return range != end && range->first <= code_point ? range->combining_class : uint8_t{0};
}

}  // namespace penjing
