#include "text/normalizer.h"

#include <algorithm>

#include "text/unicode.h"

namespace penjing {

namespace {

struct Sink {
  NormalizedText& out;
  const BertNormalization& rules;
  std::size_t begin;  // where this call's output starts: marks are not reordered across it

  void put(uint32_t point, int32_t source) {
    out.points.push_back(point);
    out.source.push_back(source);
  }

  // Canonical ordering: a mark moves before earlier marks of a higher class. Positions keep their sources, as
  // in the library we follow.
  void put_ordered(uint32_t point, int32_t source) {
    put(point, source);
    const uint8_t own = ordering_class(point);
    if (own == 0) return;
    for (std::size_t i = out.points.size() - 1; i > begin && ordering_class(out.points[i - 1]) > own; --i) {
      std::swap(out.points[i - 1], out.points[i]);
    }
  }

  void lower(std::size_t from) {
    for (std::size_t i = from; i < out.points.size(); ++i) {
      const auto to = to_lower(out.points[i]);
      out.points[i] = to[0];
      for (std::size_t j = 1; j < to.size(); ++j) {
        // More than one code point (only capital I with dot above): insert after.
        out.points.insert(out.points.begin() + static_cast<std::ptrdiff_t>(i + j), to[j]);
        out.source.insert(out.source.begin() + static_cast<std::ptrdiff_t>(i + j), out.source[i]);
      }
      i += to.size() - 1;
    }
  }
};

}  // namespace

void normalize(const BertNormalization& rules, std::span<const uint32_t> points, int32_t first,
               NormalizedText& out) {
  Sink sink{out, rules, out.points.size()};
  for (std::size_t i = 0; i < points.size(); ++i) {
    uint32_t point = points[i];
    const int32_t source = first + static_cast<int32_t>(i);
    if (point > ' ' && point < 0x7F) {  // printable ASCII: no rule but lower-casing applies
      if (rules.lowercase && point >= 'A' && point <= 'Z') point += 32;
      sink.put(point, source);
      continue;
    }
    uint8_t kind = classify_character(point);
    if (rules.clean_text) {
      if ((kind & kRemovedByCleaning) != 0) continue;
      if ((kind & kBecomesSpace) != 0) point = ' ', kind = kIsSpace;
    }
    const bool spaced = rules.chinese_chars && (kind & kIsChinese) != 0;
    if (spaced) sink.put(' ', source);
    const std::size_t from = out.points.size();
    if (rules.strip_accents) {
      for (const uint32_t part : strip_accents(point)) sink.put_ordered(part, source);
    } else {
      sink.put(point, source);
    }
    if (rules.lowercase) sink.lower(from);
    if (spaced) sink.put(' ', source);
  }
}

}  // namespace penjing
