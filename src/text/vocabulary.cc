#include "text/vocabulary.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/error.h"

namespace penjing {

namespace {

constexpr int64_t kMaxTokens = 1 << 24;

std::string shorten(std::string_view token) {
  return token.size() > 60 ? std::string(token.substr(0, 57)) + "..." : std::string(token);
}

}  // namespace

int32_t Vocabulary::find(std::string_view prefix, std::string_view rest, uint64_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  const auto tag = static_cast<uint32_t>(hash);
  for (std::size_t at = hash >> shift_;; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.id < 0) return -1;
    if (slot.tag != tag) continue;
    const std::string_view known = token(slot.id);
    if (known.size() == prefix.size() + rest.size() && known.ends_with(rest) && known.starts_with(prefix))
      return slot.id;
  }
}

void Vocabulary::grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  --shift_;
  const std::size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.id < 0) continue;
    std::size_t at = hash(kHashSeed, token(slot.id)) >> shift_;
    while (slots_[at].id >= 0) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

void Vocabulary::add(std::string_view token, int64_t id) {
  if (id < 0 || id >= kMaxTokens) {
    fail(ErrorKind::kFormat, "vocabulary: token \"{}\" has id {}; wanted 0 to {}", shorten(token), id,
         kMaxTokens - 1);
  }
  if (const int32_t known = find(token); known >= 0) {
    fail(ErrorKind::kFormat, "vocabulary: token \"{}\" has two ids, {} and {}", shorten(token),
         ids_[static_cast<std::size_t>(known)], id);
  }
  if (bytes_.size() + token.size() > std::numeric_limits<uint32_t>::max() || size() >= kMaxTokens)
    fail(ErrorKind::kResource, "vocabulary: more than {} tokens or 4 GiB", kMaxTokens);
  bytes_.insert(bytes_.end(), token.begin(), token.end());
  begin_.push_back(static_cast<uint32_t>(bytes_.size()));
  ids_.push_back(static_cast<int32_t>(id));
  longest_ = std::max(longest_, token.size());
  if (ids_.size() * 2 > slots_.size()) grow();
  const uint64_t hashed = hash(kHashSeed, token);
  std::size_t at = hashed >> shift_;
  while (slots_[at].id >= 0) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {static_cast<uint32_t>(hashed), static_cast<int32_t>(ids_.size() - 1)};
}

void Vocabulary::finish(std::string_view file) {
  if (ids_.empty()) fail(ErrorKind::kFormat, "{}: the vocabulary is empty", file);
  std::vector<int32_t> entry_of(ids_.size(), -1);
  for (std::size_t entry = 0; entry < ids_.size(); ++entry) {
    const auto id = static_cast<std::size_t>(ids_[entry]);
    if (id >= ids_.size()) {
      fail(ErrorKind::kFormat, "{}: token \"{}\" has id {} in a vocabulary of {}: ids must be dense", file,
           shorten(token(static_cast<int32_t>(entry))), id, ids_.size());
    }
    if (entry_of[id] >= 0) {
      fail(ErrorKind::kFormat, "{}: tokens \"{}\" and \"{}\" share id {}", file, shorten(token(entry_of[id])),
           shorten(token(static_cast<int32_t>(entry))), id);
    }
    entry_of[id] = static_cast<int32_t>(entry);
  }
  if (!std::is_sorted(ids_.begin(), ids_.end())) {
    std::vector<char> bytes;
    bytes.reserve(bytes_.size());
    std::vector<uint32_t> begin{0};
    for (const int32_t entry : entry_of) {
      const std::string_view text = token(entry);
      bytes.insert(bytes.end(), text.begin(), text.end());
      begin.push_back(static_cast<uint32_t>(bytes.size()));
    }
    bytes_ = std::move(bytes);
    begin_ = std::move(begin);
    for (Slot& slot : slots_) {
      if (slot.id >= 0) slot.id = ids_[static_cast<std::size_t>(slot.id)];
    }
  }
  ids_ = {};
}

}  // namespace penjing
