#include "text/wordpiece.h"

#include "base/error.h"
#include "text/unicode.h"

namespace penjing {

namespace {

std::size_t edge_hash(uint64_t key) {
  key *= 0x9E3779B97F4A7C15u;
  return static_cast<std::size_t>(key >> 20);
}

std::string shown(std::string_view token) {
  return token.size() > 60 ? std::string(token.substr(0, 57)) + "..." : std::string(token);
}

}  // namespace

void Vocabulary::add(std::string token, int64_t id) {
  constexpr int64_t kMaxTokens = 1 << 24;
  if (id < 0 || id >= kMaxTokens) {
    fail(ErrorKind::kFormat, "vocabulary: token \"{}\" has id {}; wanted 0 to {}", shown(token), id,
         kMaxTokens - 1);
  }
  const auto [place, fresh] = ids_.emplace(std::move(token), static_cast<int32_t>(id));
  if (!fresh) {
    fail(ErrorKind::kFormat, "vocabulary: token \"{}\" has two ids, {} and {}", shown(place->first),
         place->second, id);
  }
}

void Vocabulary::finish(std::string_view file) {
  if (ids_.empty()) fail(ErrorKind::kFormat, "{}: the vocabulary is empty", file);
  tokens_.assign(ids_.size(), "");
  std::vector<bool> taken(ids_.size(), false);
  for (const auto& [token, id] : ids_) {
    const auto index = static_cast<std::size_t>(id);
    if (index >= ids_.size()) {
      fail(ErrorKind::kFormat, "{}: token \"{}\" has id {} in a vocabulary of {}: ids must be dense", file,
           shown(token), id, ids_.size());
    }
    if (taken[index]) {
      fail(ErrorKind::kFormat, "{}: tokens \"{}\" and \"{}\" share id {}", file, shown(tokens_[index]),
           shown(token), id);
    }
    taken[index] = true;
    tokens_[index] = token;
  }
}

int32_t Vocabulary::find(std::string_view token) const {
  const auto found = ids_.find(std::string(token));
  return found == ids_.end() ? -1 : found->second;
}

WordPiece::WordPiece(const Vocabulary& vocabulary, const std::string& unk_token, const std::string& prefix,
                     int64_t max_chars)
    : token_at_(2, -1), unk_id_(vocabulary.find(unk_token)), max_chars_(max_chars) {
  if (unk_id_ < 0)
    fail(ErrorKind::kFormat, "vocabulary: the unknown token \"{}\" is not in it", shown(unk_token));
  edges_.resize(1 << 12);
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const std::string_view token = vocabulary.token(id);
    if (!prefix.empty() && token.starts_with(prefix)) insert(kContinuation, token.substr(prefix.size()), id);
    // A token that looks like a continuation can also start a word that is literally "##x".
    insert(kStart, token, id);
    if (prefix.empty()) insert(kContinuation, token, id);
  }
}

const uint32_t* WordPiece::find_edge(uint32_t node, uint8_t byte) const {
  const uint64_t key = uint64_t{node} << 8 | byte;
  const std::size_t mask = edges_.size() - 1;
  for (std::size_t slot = edge_hash(key) & mask;; slot = (slot + 1) & mask) {
    if (edges_[slot].key == key) return &edges_[slot].child;
    if (edges_[slot].key == UINT64_MAX) return nullptr;
  }
}

void WordPiece::insert(uint32_t root, std::string_view token, int32_t id) {
  uint32_t node = root;
  for (const char c : token) {
    const auto byte = static_cast<uint8_t>(c);
    if (const uint32_t* child = find_edge(node, byte)) {
      node = *child;
      continue;
    }
    if (++num_edges_ * 2 > edges_.size()) {
      std::vector<Edge> old(edges_.size() * 2);
      old.swap(edges_);
      for (const Edge& edge : old) {
        if (edge.key == UINT64_MAX) continue;
        std::size_t slot = edge_hash(edge.key) & (edges_.size() - 1);
        while (edges_[slot].key != UINT64_MAX) slot = (slot + 1) & (edges_.size() - 1);
        edges_[slot] = edge;
      }
    }
    const uint64_t key = uint64_t{node} << 8 | byte;
    std::size_t slot = edge_hash(key) & (edges_.size() - 1);
    while (edges_[slot].key != UINT64_MAX) slot = (slot + 1) & (edges_.size() - 1);
    edges_[slot] = {key, static_cast<uint32_t>(token_at_.size())};
    node = edges_[slot].child;
    token_at_.push_back(-1);
  }
  if (node > kContinuation) token_at_[node] = id;
}

void WordPiece::split(std::span<const uint32_t> word, std::vector<WordPiecePiece>& out) const {
  const auto length = static_cast<int32_t>(word.size());
  const std::size_t first_piece = out.size();
  bool known = length <= max_chars_;
  std::string bytes;
  std::vector<int32_t> ends;  // byte offset just past each code point
  if (known) {
    for (const uint32_t point : word) {
      append_utf8(bytes, point);
      ends.push_back(static_cast<int32_t>(bytes.size()));
    }
  }
  int32_t begin = 0;
  while (known && begin < length) {
    uint32_t node = begin == 0 ? kStart : kContinuation;
    int32_t best_end = -1, best_id = -1;
    std::size_t at = begin == 0 ? 0 : static_cast<std::size_t>(ends[static_cast<std::size_t>(begin - 1)]);
    for (int32_t end = begin; end < length && node != UINT32_MAX; ++end) {
      for (; at < static_cast<std::size_t>(ends[static_cast<std::size_t>(end)]); ++at) {
        const uint32_t* child = find_edge(node, static_cast<uint8_t>(bytes[at]));
        if (child == nullptr) {
          node = UINT32_MAX;
          break;
        }
        node = *child;
      }
      if (node != UINT32_MAX && token_at_[node] >= 0) best_end = end + 1, best_id = token_at_[node];
    }
    known = best_id >= 0;
    if (known) out.push_back({best_id, begin, best_end});
    begin = best_end;
  }
  if (!known) {
    out.resize(first_piece);
    out.push_back({unk_id_, 0, length});
  }
}

}  // namespace penjing
