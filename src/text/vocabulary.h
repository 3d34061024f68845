#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace penjing {

// Token text <-> id in flat arrays: the bytes of all tokens in the order of their ids, where each begins, and
// a hash table. Ids are dense from 0.
class Vocabulary {
 public:
  // Refuses (kFormat) a second use of a text.
  void add(std::string_view token, int64_t id);
  void finish(
      std::string_view file);  // every id from 0 to size - 1 must be taken; throws kFormat naming a hole

  int32_t find(std::string_view token) const { return find({}, token, hash(kHashSeed, token)); }  // or -1
  // Of the token prefix + rest, whose hash is known.
  int32_t find(std::string_view prefix, std::string_view rest, uint64_t hash) const;
  std::string_view token(int32_t id) const {
    const auto i = static_cast<std::size_t>(id);
    return {bytes_.data() + begin_[i], begin_[i + 1] - begin_[i]};
  }
  int64_t size() const { return static_cast<int64_t>(begin_.size()) - 1; }
  std::size_t longest() const { return longest_; }  // bytes of the longest token

  // The hash of a text from the hash of all but its last byte, so that those of all prefixes come in one
  // pass.
  static constexpr uint64_t kHashSeed = 0x2545F4914F6CDD1D;
  static uint64_t hash(uint64_t before, uint8_t byte) { return (before ^ byte) * 0x9E3779B97F4A7C15; }
  static uint64_t hash(uint64_t before, std::string_view text) {
    for (const char c : text) before = hash(before, static_cast<uint8_t>(c));
    return before;
  }

 private:
  struct Slot {
    uint32_t tag = 0;  // low half of the hash; the high bits choose the slot
    int32_t id = -1;   // until finish(): index in the order of add()
  };
  void grow();

  std::vector<char> bytes_;
  std::vector<uint32_t> begin_{0};           // size + 1
  std::vector<Slot> slots_{Slot{}, Slot{}};  // a power of two, at most half full
  int shift_ = 63;                           // 64 - log2(slots)
  std::size_t longest_ = 0;
  std::vector<int32_t> ids_;  // until finish(): in the order of add()
};

}  // namespace penjing
