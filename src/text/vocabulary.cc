#include "text/vocabulary.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace penjing {

namespace {

constexpr int64_t kMaxTokens = 1 << 24;

std::string shorten(std::string_view token) {
  return token.size() > 60 ? std::string(token.substr(0, 57)) + "..." : std::string(token);
}

}  // namespace

struct Vocabulary::Growing {
  std::vector<char> bytes;
  std::vector<uint32_t> begin{0};
  std::vector<Slot> slots{Slot{}, Slot{}};
  std::vector<int32_t> ids;  // in the order of add()
};

Vocabulary::Vocabulary() {
  static constexpr uint32_t kNoBytes[1] = {0};
  static constexpr Slot kNoSlots[2] = {};
  tables_ = {{}, kNoBytes, kNoSlots};
}

Vocabulary::Vocabulary(Tables tables, std::shared_ptr<const void> owner)
    : tables_(tables), finished_(true), owner_(std::move(owner)) {
  const auto refuse = [](const char* what) { fail(ErrorKind::kFormat, "stored vocabulary: {}", what); };
  const auto [bytes, begin, slots] = tables;
  if (begin.size() < 2 || begin.size() - 1 > kMaxTokens) refuse("no tokens, or too many");
  if (begin.front() != 0 || begin.back() > bytes.size()) refuse("wrong borders");
  for (std::size_t i = 0; i + 1 < begin.size(); ++i) {
    if (begin[i + 1] < begin[i]) refuse("wrong borders");
    longest_ = std::max<std::size_t>(longest_, begin[i + 1] - begin[i]);
  }
  if (slots.size() < 2 || !std::has_single_bit(slots.size())) refuse("wrong number of slots");
  shift_ = 64 - std::countr_zero(slots.size());
  int64_t used = 0;
  for (const Slot& slot : slots) {
    if (slot.id >= size()) refuse("an id beyond the tokens");
    used += slot.id >= 0 ? 1 : 0;
  }
  if (used != size() || used * 2 > static_cast<int64_t>(slots.size())) refuse("wrong number of slots in use");
}

void Vocabulary::show() {
  tables_ = {growing_->bytes, growing_->begin, growing_->slots};
}

int32_t Vocabulary::find(std::string_view prefix, std::string_view rest, uint64_t hash) const {
  const std::size_t mask = tables_.slots.size() - 1;
  const auto tag = static_cast<uint32_t>(hash);
  for (std::size_t at = hash >> shift_;; at = (at + 1) & mask) {
    const Slot& slot = tables_.slots[at];
    if (slot.id < 0) return -1;
    if (slot.tag != tag) continue;
    const std::string_view known = token(slot.id);
    if (known.size() == prefix.size() + rest.size() && known.ends_with(rest) && known.starts_with(prefix))
      return slot.id;
  }
}

void Vocabulary::grow() {
  std::vector<Slot>& slots = growing_->slots;
  std::vector<Slot> old(slots.size() * 2);
  old.swap(slots);
  --shift_;
  const std::size_t mask = slots.size() - 1;
  for (const Slot& slot : old) {
    if (slot.id < 0) continue;
    std::size_t at = hash(kHashSeed, token(slot.id)) >> shift_;
    while (slots[at].id >= 0) at = (at + 1) & mask;
    slots[at] = slot;
  }
}

void Vocabulary::add(std::string_view token, int64_t id) {
  if (growing_ == nullptr) growing_ = std::make_shared<Growing>();
  Growing& now = *growing_;
  if (id < 0 || id >= kMaxTokens) {
    fail(ErrorKind::kFormat, "vocabulary: token \"{}\" has id {}; wanted 0 to {}", shorten(token), id,
         kMaxTokens - 1);
  }
  if (const int32_t known = find(token); known >= 0) {
    fail(ErrorKind::kFormat, "vocabulary: token \"{}\" has two ids, {} and {}", shorten(token),
         now.ids[static_cast<std::size_t>(known)], id);
  }
  if (now.bytes.size() + token.size() > std::numeric_limits<uint32_t>::max() || size() >= kMaxTokens)
    fail(ErrorKind::kResource, "vocabulary: more than {} tokens or 4 GiB", kMaxTokens);
  now.bytes.insert(now.bytes.end(), token.begin(), token.end());
  now.begin.push_back(static_cast<uint32_t>(now.bytes.size()));
  now.ids.push_back(static_cast<int32_t>(id));
  longest_ = std::max(longest_, token.size());
  show();
  if (now.ids.size() * 2 > now.slots.size()) {
    grow();
    show();
  }
  const uint64_t hashed = hash(kHashSeed, token);
  std::size_t at = hashed >> shift_;
  while (now.slots[at].id >= 0) at = (at + 1) & (now.slots.size() - 1);
  now.slots[at] = {static_cast<uint32_t>(hashed), static_cast<int32_t>(now.ids.size() - 1)};
}

void Vocabulary::finish(std::string_view file) {
  if (growing_ == nullptr) fail(ErrorKind::kFormat, "{}: the vocabulary is empty", file);
  Growing& now = *growing_;
  std::vector<int32_t> entry_of(now.ids.size(), -1);
  for (std::size_t entry = 0; entry < now.ids.size(); ++entry) {
    const auto id = static_cast<std::size_t>(now.ids[entry]);
    if (id >= now.ids.size()) {
      fail(ErrorKind::kFormat, "{}: token \"{}\" has id {} in a vocabulary of {}: ids must be dense", file,
           shorten(token(static_cast<int32_t>(entry))), id, now.ids.size());
    }
    if (entry_of[id] >= 0) {
      fail(ErrorKind::kFormat, "{}: tokens \"{}\" and \"{}\" share id {}", file, shorten(token(entry_of[id])),
           shorten(token(static_cast<int32_t>(entry))), id);
    }
    entry_of[id] = static_cast<int32_t>(entry);
  }
  if (!std::is_sorted(now.ids.begin(), now.ids.end())) {
    std::vector<char> bytes;
    bytes.reserve(now.bytes.size());
    std::vector<uint32_t> begin{0};
    for (const int32_t entry : entry_of) {
      const std::string_view text = token(entry);
      bytes.insert(bytes.end(), text.begin(), text.end());
      begin.push_back(static_cast<uint32_t>(bytes.size()));
    }
    now.bytes = std::move(bytes);
    now.begin = std::move(begin);
    for (Slot& slot : now.slots) {
      if (slot.id >= 0) slot.id = now.ids[static_cast<std::size_t>(slot.id)];
    }
  }
  now.ids = {};
  show();
  owner_ = std::move(growing_);
  finished_ = true;
}

}  // namespace penjing
