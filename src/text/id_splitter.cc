#include "text/id_splitter.h"

#include <algorithm>

#include "text/unicode.h"

namespace penjing {

IdSplitter::IdSplitter(const WordPiece& model, const BertNormalization& rules,
                       const std::vector<AddedToken>& added)
    : model_(model), rules_(rules), added_(added) {
  kind_.fill(kOther);
  for (uint32_t point = 0; point < 0x80; ++point) {
    NormalizedText text;
    normalize(rules, {&point, 1}, 0, text);
    if (text.points.size() != 1 || text.points[0] >= 0x80) continue;
    const uint8_t character = classify_character(text.points[0]);
    kind_[point] = (character & kIsSpace) != 0         ? kSpace
                   : (character & kIsPunctuation) != 0 ? kPunctuation
                                                       : kWord;
    normal_[point] = static_cast<char>(text.points[0]);
  }
  for (const AddedToken& token : added) {
    // Stripping changes places alone: white space gives no piece.
    simple_ = simple_ && !token.normalized && kind_[static_cast<uint8_t>(token.content[0])] == kPunctuation &&
              std::all_of(token.content.begin(), token.content.end(), [&](char c) {
                const Kind kind = kind_[static_cast<uint8_t>(c)];
                return kind == kWord || kind == kPunctuation;
              });
    begins_added_[static_cast<uint8_t>(token.content[0])] = true;
  }
}

const AddedToken* IdSplitter::match(std::string_view text) const {
  const AddedToken* best = nullptr;
  for (const AddedToken& token : added_) {
    if (text.starts_with(token.content) && (best == nullptr || token.content.size() > best->content.size()))
      best = &token;
  }
  return best;
}

void IdSplitter::split(std::string_view text, int64_t limit, std::vector<int32_t>& ids) const {
  const std::size_t start = ids.size();
  const auto left = [&] { return limit - static_cast<int64_t>(ids.size() - start); };
  const auto split_exactly = [&](std::string_view part) {
    for (const Piece& piece : Splitter(model_, rules_, added_, left()).split(part, false))
      ids.push_back(piece.id);
  };
  if (!simple_) return split_exactly(text);

  constexpr std::size_t kLongest = 512;  // bytes of a word that is collected here
  char word[kLongest];
  std::vector<WordPiecePiece> pieces;
  std::size_t at = 0;
  while (at < text.size() && left() >= 0) {
    const std::size_t begin = at;
    uint64_t hash = Vocabulary::kHashSeed;
    std::size_t size = 0;
    Kind kind = kSpace;
    for (; at < text.size() && size < kLongest; ++at, ++size) {
      const auto byte = static_cast<uint8_t>(text[at]);
      kind = kind_[byte];
      if (kind != kWord) break;
      word[size] = normal_[byte];
      hash = Vocabulary::hash(hash, static_cast<uint8_t>(word[size]));
    }
    if (at < text.size() && (kind == kOther || size == kLongest)) {
      at = begin + size;
      while (at < text.size() && kind_[static_cast<uint8_t>(text[at])] != kSpace) ++at;
      split_exactly(text.substr(begin, at - begin));
      continue;
    }
    if (size > 0) {
      const int32_t id = model_.find_ascii_word({word, size}, hash);
      if (id >= 0) {
        ids.push_back(id);
      } else {
        pieces.clear();
        model_.split({word, size}, pieces);
        for (const WordPiecePiece& piece : pieces) ids.push_back(piece.id);
      }
    }
    if (at == text.size()) break;
    if (kind == kSpace) {
      ++at;
      continue;
    }
    if (left() < 0) break;
    if (begins_added_[static_cast<uint8_t>(text[at])]) {
      if (const AddedToken* token = match(text.substr(at))) {
        ids.push_back(token->id);
        at += token->content.size();
        continue;
      }
    }
    const char mark = text[at++];
    const int32_t id = model_.find_ascii_word(
        {&mark, 1}, Vocabulary::hash(Vocabulary::kHashSeed, static_cast<uint8_t>(mark)));
    ids.push_back(id >= 0 ? id : model_.unk_id());
  }
}

}  // namespace penjing
