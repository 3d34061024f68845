#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace penjing {

// Token text <-> id in flat arrays: the bytes of all tokens in the order of their ids, where each begins, and
// a hash table. Ids are dense from 0.
class Vocabulary {
 public:
  struct Slot {
    uint32_t tag = 0;  // low half of the hash; the high bits choose the slot
    int32_t id = -1;   // until finish(): index in the order of add()
  };
  struct Tables {
    std::span<const char> bytes;
    std::span<const uint32_t> begin;  // size + 1
    std::span<const Slot> slots;      // a power of two, at most half full
  };

  Vocabulary();
  // Of tables that were stored, which `owner` keeps. Throws kFormat for some that could not be read safely.
  Vocabulary(Tables tables, std::shared_ptr<const void> owner);

  // Refuses (kFormat) a second use of a text.
  void add(std::string_view token, int64_t id);
  void finish(
      std::string_view file);  // every id from 0 to size - 1 must be taken; throws kFormat naming a hole

  bool finished() const { return finished_; }

  int32_t find(std::string_view token) const { return find({}, token, hash(kHashSeed, token)); }  // or -1
  // Of the token prefix + rest, whose hash is known.
  int32_t find(std::string_view prefix, std::string_view rest, uint64_t hash) const;
  std::string_view token(int32_t id) const {
    const auto i = static_cast<std::size_t>(id);
    return {tables_.bytes.data() + tables_.begin[i], tables_.begin[i + 1] - tables_.begin[i]};
  }
  int64_t size() const { return static_cast<int64_t>(tables_.begin.size()) - 1; }
  std::size_t longest() const { return longest_; }  // bytes of the longest token
  const Tables& tables() const { return tables_; }

  // The hash of a text from the hash of all but its last byte, so that those of all prefixes come in one
  // pass.
  static constexpr uint64_t kHashSeed = 0x2545F4914F6CDD1D;
  static uint64_t hash(uint64_t before, uint8_t byte) { return (before ^ byte) * 0x9E3779B97F4A7C15; }
  static uint64_t hash(uint64_t before, std::string_view text) {
    for (const char c : text) before = hash(before, static_cast<uint8_t>(c));
    return before;
  }

 private:
  struct Growing;
  void grow();
  void show();  // the tables that grow

  Tables tables_;
  int shift_ = 63;  // 64 - log2(slots)
  std::size_t longest_ = 0;
  bool finished_ = false;
  std::shared_ptr<Growing> growing_;   // while tokens are added
  std::shared_ptr<const void> owner_;  // of what the tables show
};

}  // namespace penjing
