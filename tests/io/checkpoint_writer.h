#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "io/crc32c.h"
#include "model/tensor.h"
#include "tests/base/test_folder.h"

namespace penjing::checkpoint {

inline uint32_t crc_of(const std::string& bytes) {
  return crc32c(std::as_bytes(std::span(bytes)));
}

// A writer of the formats, by their definitions, that shares nothing with the readers but crc32c.
inline std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

inline std::string little_endian(uint64_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> 8 * i & 0xff);
  return bytes;
}

inline std::string field(int number, const std::string& text) {
  return varint(static_cast<uint64_t>(number) << 3 | 2) + varint(text.size()) + text;
}
inline std::string field(int number, uint64_t value) {
  return varint(static_cast<uint64_t>(number) << 3) + varint(value);
}

struct Array {
  std::vector<int64_t> shape;
  std::string bytes;
  uint64_t dtype = 1;
};

class CheckpointWriter {
 public:
  void add(const std::string& name, std::vector<int64_t> shape, Rng& rng) {
    std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
    for (float& v : values) v = static_cast<float>(rng.normal());
    arrays_[name] = {std::move(shape), {reinterpret_cast<const char*>(values.data()), values.size() * 4}, 1};
  }
  void add(const std::string& name, Array array) { arrays_[name] = std::move(array); }
  std::map<std::string, Array>& arrays() { return arrays_; }

  void write(const std::filesystem::path& prefix) const {
    std::string data;
    std::vector<std::pair<std::string, std::string>> entries = {{"", field(1, 1)}};
    for (const auto& [name, array] : arrays_) {
      std::string shape;
      for (const int64_t size : array.shape) shape += field(2, field(1, static_cast<uint64_t>(size)));
      std::string entry =
          field(1, array.dtype) + field(2, shape) + field(4, data.size()) + field(5, array.bytes.size());
      entry += varint(6 << 3 | 5) + little_endian(mask_crc(crc_of(array.bytes)), 4);
      entries.emplace_back(name, entry);
      data += array.bytes;
    }
    write_bytes(prefix.string() + ".data-00000-of-00001", data);
    write_bytes(prefix.string() + ".index", table(entries));
  }

  // Entries in blocks of three, with shared prefixes; an index block; the footer.
  static std::string table(const std::vector<std::pair<std::string, std::string>>& entries) {
    std::string file;
    std::vector<std::pair<std::string, std::string>> index;
    for (std::size_t begin = 0; begin < entries.size(); begin += 3) {
      const std::size_t end = std::min(begin + 3, entries.size());
      const std::vector<std::pair<std::string, std::string>> part(
          entries.begin() + static_cast<std::ptrdiff_t>(begin),
          entries.begin() + static_cast<std::ptrdiff_t>(end));
      index.emplace_back(part.back().first, add_block(file, part));
    }
    const std::string meta = add_block(file, {}), handle = add_block(file, index);
    std::string footer = meta + handle;
    footer.resize(40);
    return file + footer + little_endian(0xdb4775248b80fb57u, 8);
  }

 private:
  static std::string add_block(std::string& file,
                               const std::vector<std::pair<std::string, std::string>>& entries) {
    std::string block, last;
    for (const auto& [key, value] : entries) {
      std::size_t shared = 0;
      while (shared < last.size() && shared < key.size() && last[shared] == key[shared]) ++shared;
      block +=
          varint(shared) + varint(key.size() - shared) + varint(value.size()) + key.substr(shared) + value;
      last = key;
    }
    block += little_endian(0, 4) + little_endian(1, 4);
    const std::string handle = varint(file.size()) + varint(block.size());
    const std::string typed = block + '\0';
    file += typed + little_endian(mask_crc(crc_of(typed)), 4);
    return handle;
  }
  std::map<std::string, Array> arrays_;
};

// A BERT of one layer, hidden size 128, with what an optimizer leaves beside it.
inline CheckpointWriter tiny_checkpoint() {
  CheckpointWriter writer;
  Rng rng(1);
  constexpr int64_t kHidden = 128, kInner = 12;  // two heads of 64
  const auto dense = [&](const std::string& name, int64_t in, int64_t out) {
    writer.add(name + "/kernel", {in, out}, rng);
    writer.add(name + "/bias", {out}, rng);
  };
  const auto norm = [&](const std::string& name) {
    writer.add(name + "/gamma", {kHidden}, rng);
    writer.add(name + "/beta", {kHidden}, rng);
  };
  writer.add("bert/embeddings/word_embeddings", {16, kHidden}, rng);
  writer.add("bert/embeddings/position_embeddings", {10, kHidden}, rng);
  writer.add("bert/embeddings/token_type_embeddings", {2, kHidden}, rng);
  norm("bert/embeddings/LayerNorm");
  const std::string base = "bert/encoder/layer_0/";
  for (const char* part : {"query", "key", "value"}) dense(base + "attention/self/" + part, kHidden, kHidden);
  dense(base + "attention/output/dense", kHidden, kHidden);
  norm(base + "attention/output/LayerNorm");
  dense(base + "intermediate/dense", kHidden, kInner);
  dense(base + "output/dense", kInner, kHidden);
  norm(base + "output/LayerNorm");
  dense("bert/pooler/dense", kHidden, kHidden);
  writer.add("bert/pooler/dense/kernel/adam_m", {kHidden, kHidden}, rng);
  writer.add("global_step", {{}, std::string(8, '\0'), 9});
  writer.add("a_string", {{}, "text", 7});
  return writer;
}

}  // namespace penjing::checkpoint
