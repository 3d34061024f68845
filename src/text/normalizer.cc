#include "text/normalizer.h"

#include <algorithm>

#include "text/unicode.h"

namespace penjing {

namespace {

// Accent stripping of a run of characters that are not plain ASCII: canonical decomposition, canonical
// ordering, then non-spacing marks removed. Sources follow the library we must agree with: ordering moves
// characters but not places. The n-th decomposed character that began an original one stands for the n-th
// original; parts that a decomposition added stand for the place before them.
class AccentStripper {
 public:
  void add(uint32_t point, int32_t source) {
    bool extra = false;
    for (const uint32_t part : decompose(point)) {
      parts_.push_back({part, combining_class(part), extra});
      extra = true;
    }
    sources_.push_back(source);
  }

  void flush(NormalizedText& out) {
    const auto is_mark = [](const Part& part) { return part.order != 0; };
    for (auto begin = parts_.begin(); begin != parts_.end();) {
      begin = std::find_if(begin, parts_.end(), is_mark);
      const auto end = std::find_if_not(begin, parts_.end(), is_mark);
      std::stable_sort(begin, end, [](const Part& a, const Part& b) { return a.order < b.order; });
      begin = end;
    }
    std::size_t next = 0;
    for (const Part& part : parts_) {
      if (!part.extra) ++next;
      if ((classify_character(part.point) & kIsStripped) != 0) continue;
      out.points.push_back(part.point);
      out.source.push_back(sources_[next == 0 ? 0 : next - 1]);
    }
    parts_.clear();
    sources_.clear();
  }

 private:
  struct Part {
    uint32_t point;
    uint8_t order;
    bool extra;
  };
  std::vector<Part> parts_;
  std::vector<int32_t> sources_;
};

// Lower-cases out from `from` on; a code point that becomes several keeps its source for each.
void lower(NormalizedText& out, std::size_t from) {
  std::size_t grown = 0;
  for (std::size_t i = from; i < out.points.size(); ++i) grown += to_lower(out.points[i]).size() - 1;
  // From the back, so that nothing is overwritten before it is read.
  std::size_t read = out.points.size();
  out.points.resize(read + grown);
  out.source.resize(read + grown);
  for (std::size_t write = out.points.size(); read > from;) {
    const int32_t source = out.source[--read];
    const auto to = to_lower(out.points[read]);
    for (std::size_t j = to.size(); j > 0; --j) {
      out.points[--write] = to[j - 1];
      out.source[write] = source;
    }
  }
}

bool is_plain(uint32_t point) {
  return point > ' ' && point < 0x7F;
}

}  // namespace

void normalize(const BertNormalization& rules, std::span<const uint32_t> points, int32_t first,
               NormalizedText& out) {
  AccentStripper stripper;
  for (std::size_t i = 0; i < points.size();) {
    if (is_plain(
            points[i])) {  // printable ASCII: no rule but lower-casing applies, and no mark moves across it
      uint32_t point = points[i];
      if (rules.lowercase && point >= 'A' && point <= 'Z') point += 32;
      out.points.push_back(point);
      out.source.push_back(first + static_cast<int32_t>(i++));
      continue;
    }
    const std::size_t from = out.points.size();
    const auto put = [&](uint32_t point, int32_t source) {
      if (rules.strip_accents) return stripper.add(point, source);
      out.points.push_back(point);
      out.source.push_back(source);
    };
    for (; i < points.size() && !is_plain(points[i]); ++i) {
      const int32_t source = first + static_cast<int32_t>(i);
      const uint8_t kind = classify_character(points[i]);
      if (rules.clean_text && (kind & kRemovedByCleaning) != 0) continue;
      const bool space = rules.clean_text && (kind & kBecomesSpace) != 0;
      const bool spaced = rules.chinese_chars && (kind & kIsChinese) != 0;
      if (spaced) put(' ', source);
      put(space ? ' ' : points[i], source);
      if (spaced) put(' ', source);
    }
    stripper.flush(out);
    if (rules.lowercase) lower(out, from);
  }
}

}  // namespace penjing
