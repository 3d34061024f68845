#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace penjing {

// Token text <-> id. Ids are dense from 0; `add` refuses (kFormat) a second use of an id or a text.
class Vocabulary {
 public:
  void add(std::string token, int64_t id);
  void finish(
      std::string_view file);  // every id from 0 to size - 1 must be taken; throws kFormat naming a hole
  int32_t find(std::string_view token) const;  // -1 when absent
  const std::string& token(int32_t id) const { return tokens_[static_cast<std::size_t>(id)]; }
  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }

 private:
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<std::string> tokens_;
};

// One piece of a word: code points [begin, end) of it.
struct WordPiecePiece {
  int32_t id, begin, end;
};

// Greedy longest-match-first (Schuster & Nakajima 2012; BERT). Two tries over UTF-8 bytes, for word starts
// and for continuations, walked once a piece.
class WordPiece {
 public:
  WordPiece() = default;
  // Throws kFormat when unk_token is not in the vocabulary.
  WordPiece(const Vocabulary& vocabulary, const std::string& unk_token, const std::string& prefix,
            int64_t max_chars);

  // Appends the pieces of one word; a word longer than max_chars code points, or with a part that no token
  // matches, is one unknown piece.
  void split(std::span<const uint32_t> word, std::vector<WordPiecePiece>& out) const;

 private:
  static constexpr uint32_t kStart = 0, kContinuation = 1;
  void insert(uint32_t root, std::string_view token, int32_t id);
  const uint32_t* find_edge(uint32_t node, uint8_t byte) const;

  struct Edge {
    uint64_t key = UINT64_MAX;  // node << 8 | byte
    uint32_t child = 0;
  };
  std::vector<Edge> edges_;  // open addressing, at most half full
  std::size_t num_edges_ = 0;
  std::vector<int32_t> token_at_;  // id of the token that ends at a node, or -1
  int32_t unk_id_ = 0;
  int64_t max_chars_ = 100;
};

}  // namespace penjing
