#include "text/splitter.h"

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"

namespace penjing {

std::vector<Piece> Splitter::split(std::string_view text, bool strict) {
  const std::vector<uint32_t> points = decode_utf8(text, strict);
  if (points.size() > static_cast<std::size_t>(std::numeric_limits<int32_t>::max() / 4)) {
    fail(ErrorKind::kResource, "a text of {} characters; at most 2^29 are allowed", points.size());
  }
  for_each_part(points, false, [&](std::span<const uint32_t> part, int32_t begin, const AddedToken* token) {
    if (token != nullptr) return add_token(*token, begin, begin + static_cast<int32_t>(part.size()));
    split_raw(part, begin);
  });
  return std::move(pieces_);
}

// The added token that matches at points[at], the longest; nullptr when none.
const AddedToken* Splitter::match(std::span<const uint32_t> points, std::size_t at, bool normalized) const {
  const AddedToken* best = nullptr;
  for (const AddedToken& token : added_) {
    const auto& wanted = token.points;
    if (token.normalized != normalized || wanted.size() > points.size() - at || wanted[0] != points[at])
      continue;
    if (best != nullptr && best->points.size() >= wanted.size()) continue;
    if (std::equal(wanted.begin(), wanted.end(), points.begin() + static_cast<std::ptrdiff_t>(at)))
      best = &token;
  }
  return best;
}

// Cuts `points` at added tokens of one kind, calling visit(part, index of its first point, token or
// nullptr).
template <typename Visit>
void Splitter::for_each_part(std::span<const uint32_t> points, bool normalized, Visit visit) {
  std::size_t plain = 0;
  const bool any = std::any_of(added_.begin(), added_.end(),
                               [&](const AddedToken& t) { return t.normalized == normalized; });
  for (std::size_t at = 0; any && at < points.size() && !full();) {
    const AddedToken* token = match(points, at, normalized);
    if (token == nullptr) {
      ++at;
      continue;
    }
    std::size_t begin = at, end = at + token->points.size();
    const auto is_space = [&](std::size_t i) { return (classify_character(points[i]) & kIsSpace) != 0; };
    while (token->lstrip && begin > plain && is_space(begin - 1)) --begin;
    while (token->rstrip && end < points.size() && is_space(end)) ++end;
    if (begin > plain) visit(points.subspan(plain, begin - plain), static_cast<int32_t>(plain), nullptr);
    visit(points.subspan(begin, end - begin), static_cast<int32_t>(begin), token);
    plain = at = end;
  }
  if (plain < points.size() && !full()) visit(points.subspan(plain), static_cast<int32_t>(plain), nullptr);
}

void Splitter::split_raw(std::span<const uint32_t> raw, int32_t begin) {
  // Long texts are normalised a block at a time, cut at a space, so that an early stop saves the rest.
  constexpr std::size_t kBlock = 4096;
  const bool bounded = limit_ != kNoLimit;
  while (!raw.empty() && !full()) {
    std::size_t size = raw.size();
    if (bounded && size > kBlock) {
      size = kBlock;
      while (size < raw.size() && raw[size] != ' ') ++size;
    }
    NormalizedText text;
    normalize(rules_, raw.first(size), begin, text);
    for_each_part(
        text.points, true, [&](std::span<const uint32_t> part, int32_t first, const AddedToken* token) {
          const auto source = std::span(text.source).subspan(static_cast<std::size_t>(first), part.size());
          if (token != nullptr) return add_token(*token, source.front(), source.back() + 1);
          split_words(part, source);
        });
    raw = raw.subspan(size);
    begin += static_cast<int32_t>(size);
  }
}

// White space separates words and is dropped; each punctuation mark is a word.
void Splitter::split_words(std::span<const uint32_t> points, std::span<const int32_t> source) {
  std::size_t begin = 0;
  const auto end_word = [&](std::size_t end) {
    if (end > begin) split_word(points.subspan(begin, end - begin), source.subspan(begin, end - begin));
  };
  for (std::size_t i = 0; i < points.size() && !full(); ++i) {
    const uint8_t kind = classify_character(points[i]);
    if ((kind & kIsSpace) != 0) {
      end_word(i);
      begin = i + 1;
    } else if ((kind & kIsPunctuation) != 0) {
      end_word(i);
      begin = i;
      end_word(i + 1);
      begin = i + 1;
    }
  }
  if (!full()) end_word(points.size());
}

void Splitter::split_word(std::span<const uint32_t> word, std::span<const int32_t> source) {
  found_.clear();
  bytes_.clear();
  point_of_.clear();
  for (std::size_t i = 0; i < word.size(); ++i) {
    append_utf8(bytes_, word[i]);
    point_of_.resize(bytes_.size(), static_cast<int32_t>(i));
  }
  model_.split(bytes_, found_);
  const auto place = [&](int32_t byte) {
    return source[static_cast<std::size_t>(point_of_[static_cast<std::size_t>(byte)])];
  };
  for (const WordPiecePiece& piece : found_)
    pieces_.push_back({piece.id, place(piece.begin), place(piece.end - 1) + 1, word_});
  ++word_;
}

}  // namespace penjing
