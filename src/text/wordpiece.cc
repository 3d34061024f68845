#include "text/wordpiece.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace penjing {

namespace {

bool begins_code_point(char byte) {
  return (static_cast<uint8_t>(byte) & 0xC0) != 0x80;
}

}  // namespace

WordPiece::WordPiece(const Vocabulary& vocabulary, const std::string& unk_token, std::string prefix,
                     int64_t max_chars)
    : vocabulary_(&vocabulary),
      prefix_(std::move(prefix)),
      prefix_hash_(Vocabulary::hash(Vocabulary::kHashSeed, prefix_)),
      unk_id_(vocabulary.find(unk_token)),
      max_chars_(max_chars) {
  if (unk_id_ < 0) {
    fail(ErrorKind::kFormat, "vocabulary: the unknown token \"{}\" is not in it", unk_token.substr(0, 60));
  }
}

WordPiece::Match WordPiece::find_longest(std::string_view prefix, uint64_t prefix_hash,
                                         std::string_view text) const {
  constexpr std::size_t kUsual = 64;
  const std::size_t longest = vocabulary_->longest() - std::min(vocabulary_->longest(), prefix.size());
  const std::size_t most = std::min(text.size(), longest);
  uint64_t few[kUsual];
  std::vector<uint64_t> many(most > kUsual ? most : 0);
  uint64_t* hashes = most > kUsual ? many.data() : few;
  uint64_t hash = prefix_hash;
  for (std::size_t i = 0; i < most; ++i) {
    hash = Vocabulary::hash(hash, static_cast<uint8_t>(text[i]));
    hashes[i] = hash;
  }
  for (std::size_t size = most; size > 0; --size) {
    if (size < text.size() && !begins_code_point(text[size])) continue;
    const int32_t id = vocabulary_->find(prefix, text.substr(0, size), hashes[size - 1]);
    if (id >= 0) return {id, size};
  }
  return {};
}

void WordPiece::split(std::string_view word, std::vector<WordPiecePiece>& out) const {
  const std::size_t first_piece = out.size();
  bool known = static_cast<int64_t>(word.size()) <= max_chars_ ||
               std::count_if(word.begin(), word.end(), begins_code_point) <= max_chars_;
  for (std::size_t begin = 0; known && begin < word.size();) {
    const Match match = begin == 0 ? find_longest({}, Vocabulary::kHashSeed, word)
                                   : find_longest(prefix_, prefix_hash_, word.substr(begin));
    known = match.id >= 0;
    if (!known) break;
    out.push_back({match.id, static_cast<int32_t>(begin), static_cast<int32_t>(begin + match.size)});
    begin += match.size;
  }
  if (!known) {
    out.resize(first_piece);
    out.push_back({unk_id_, 0, static_cast<int32_t>(word.size())});
  }
}

}  // namespace penjing
