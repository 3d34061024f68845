#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace penjing {

// One piece of a word: its bytes [begin, end).
struct WordPiecePiece {
  int32_t id, begin, end;
};

// Greedy longest-match-first (Schuster & Nakajima 2012; BERT): the hashes of all prefixes of what is left are
// made in one pass, then looked up from the longest that a token can have.
class WordPiece {
 public:
  WordPiece() = default;
  // The vocabulary must outlive it. Throws kFormat when unk_token is not in the vocabulary.
  WordPiece(const Vocabulary& vocabulary, const std::string& unk_token, std::string prefix,
            int64_t max_chars);

  // Appends the pieces of one word in UTF-8; a word longer than max_chars code points, or with a part that no
  // token matches, is one unknown piece.
  void split(std::string_view word, std::vector<WordPiecePiece>& out) const;

  // The token that is the whole word, all ASCII, or -1. hash: of the word.
  int32_t find_ascii_word(std::string_view word, uint64_t hash) const {
    if (static_cast<int64_t>(word.size()) > max_chars_) return -1;
    return vocabulary_->find({}, word, hash);
  }

  int32_t unk_id() const { return unk_id_; }

 private:
  struct Match {
    int32_t id = -1;
    std::size_t size = 0;
  };
  Match find_longest(std::string_view prefix, uint64_t prefix_hash, std::string_view text) const;

  const Vocabulary* vocabulary_ = nullptr;
  std::string prefix_;
  uint64_t prefix_hash_ = 0;
  int32_t unk_id_ = 0;
  int64_t max_chars_ = 100;
};

}  // namespace penjing
