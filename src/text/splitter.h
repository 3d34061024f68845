#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/normalizer.h"
#include "text/wordpiece.h"

namespace penjing {

// A token that is recognised in the raw or in the normalised text before any splitting.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  std::vector<uint32_t> points;  // content, normalised when `normalized`
  bool lstrip = false, rstrip = false, normalized = true, special = false;
};

// One token of a text: code points [begin, end) of it, and the index of its word.
struct Piece {
  int32_t id, begin, end, word;
};

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

// Splits one text into pieces by code points, with their places, stopping soon after `limit` of them: what
// truncation will drop need not be found.
class Splitter {
 public:
  Splitter(const WordPiece& model, const BertNormalization& rules, const std::vector<AddedToken>& added,
           int64_t limit)
      : model_(model), rules_(rules), added_(added), limit_(limit) {}

  // Throws kInput for malformed UTF-8 when `strict`, kResource for more than 2^29 characters.
  std::vector<Piece> split(std::string_view text, bool strict);

 private:
  bool full() const { return static_cast<int64_t>(pieces_.size()) > limit_; }
  void add_token(const AddedToken& token, int32_t begin, int32_t end) {
    pieces_.push_back({token.id, begin, end, word_++});
  }
  const AddedToken* match(std::span<const uint32_t> points, std::size_t at, bool normalized) const;
  template <typename Visit>
  void for_each_part(std::span<const uint32_t> points, bool normalized, Visit visit);
  void split_raw(std::span<const uint32_t> raw, int32_t begin);
  void split_words(std::span<const uint32_t> points, std::span<const int32_t> source);
  void split_word(std::span<const uint32_t> word, std::span<const int32_t> source);

  const WordPiece& model_;
  const BertNormalization& rules_;
  const std::vector<AddedToken>& added_;
  int64_t limit_;
  std::vector<Piece> pieces_;
  std::vector<WordPiecePiece> found_;
  std::string bytes_;              // of a word
  std::vector<int32_t> point_of_;  // index of the code point that each of them belongs to
  int32_t word_ = 0;
};

}  // namespace penjing
