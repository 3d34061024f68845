#include "io/google_checkpoint.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "base/error.h"
#include "base/rng.h"
#include "io/crc32c.h"
#include "io/tensor_bundle.h"
#include "tests/io/safetensors_file.h"

namespace penjing {
namespace {

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

uint32_t crc_of(const std::string& bytes) {
  return crc32c(std::as_bytes(std::span(bytes)));
}

// RFC 3720, B.4, and the check value of the polynomial.
TEST(Crc32c, KnownAnswers) {
  EXPECT_EQ(crc_of("123456789"), 0xe3069283u);
  EXPECT_EQ(crc_of(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc_of(std::string(32, '\xff')), 0x62a8ab43u);
  std::string rising(32, '\0');
  for (std::size_t i = 0; i < 32; ++i) rising[i] = static_cast<char>(i);
  EXPECT_EQ(crc_of(rising), 0x46dd794eu);
  EXPECT_EQ(crc_of(""), 0u);
  const std::string text = "a longer text, of no multiple of eight bytes";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const auto bytes = std::as_bytes(std::span(text));
    EXPECT_EQ(crc32c(bytes.subspan(cut), crc32c(bytes.first(cut))), crc_of(text));
  }
}

// A writer of the formats, by their definitions, that shares nothing with the readers but crc32c.
std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

std::string little_endian(uint64_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> 8 * i & 0xff);
  return bytes;
}

std::string field(int number, const std::string& text) {
  return varint(static_cast<uint64_t>(number) << 3 | 2) + varint(text.size()) + text;
}
std::string field(int number, uint64_t value) {
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

CheckpointWriter tiny_checkpoint() {
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

TEST(GoogleCheckpoint, BecomesAnOrdinaryModel) {
  const TestFolder folder("google");
  CheckpointWriter writer = tiny_checkpoint();
  writer.write(folder / "bert_model.ckpt");
  write_bytes(folder / "vocab.txt", "[PAD]\n[UNK]\nword\n");
  const GoogleImport result = read_google_checkpoint(folder.path());
  EXPECT_EQ(result.read.size(), 3u + 2 + 6 * 2 + 2 * 2 + 2);
  EXPECT_EQ(result.left.size(), 3u);
  int64_t parameters = 0;
  for (const auto& [name, array] : writer.arrays()) {
    if (array.dtype == 1 && name.find("adam") == std::string::npos) parameters += element_count(array.shape);
  }
  EXPECT_EQ(result.parameters, parameters);
  EXPECT_EQ(result.model.description.num_layers, 1);
  EXPECT_EQ(std::get<AttentionSpec>(result.model.description.blocks[0].part).num_heads, 2);
  // Kernels are [in, out] there, weights [out, in] here.
  const Array& kernel = writer.arrays().at("bert/encoder/layer_0/intermediate/dense/kernel");
  const auto weight = read_floats(result.model.tensors.at("encoder.layer.0.intermediate.dense.weight"), "");
  for (std::size_t in = 0; in < 128; ++in) {
    for (std::size_t out = 0; out < 12; ++out) {
      float value = 0;
      std::memcpy(&value, kernel.bytes.data() + 4 * (in * 12 + out), 4);
      ASSERT_EQ(weight[out * 128 + in], value);
    }
  }
}

TEST(GoogleCheckpoint, SavedModelAndPrefixedNames) {
  const TestFolder folder("google-saved");
  CheckpointWriter writer = tiny_checkpoint(), prefixed;
  for (const auto& [name, array] : writer.arrays()) prefixed.add("module/" + name, array);
  prefixed.write(folder / "variables/variables");
  write_bytes(folder / "assets/vocab.txt", "[PAD]\n[UNK]\nWord\n");
  const GoogleImport result = read_google_checkpoint(folder.path());
  EXPECT_EQ(result.model.description.hidden_size, 128);
  bool cased = false;
  for (const SideFile& file : result.model.side_files)
    cased |= file.path == "tokenizer_config.json" &&
             file.content.find("\"do_lower_case\": false") != std::string::npos;
  EXPECT_TRUE(cased);
}

TEST(GoogleCheckpoint, DamageIsFound) {
  const TestFolder folder("google-damage");
  tiny_checkpoint().write(folder / "bert_model.ckpt");
  const auto data = folder / "bert_model.ckpt.data-00000-of-00001", index = folder / "bert_model.ckpt.index";
  const std::string whole = read_bytes(data), table = read_bytes(index);
  const auto message = [&] { return error_of([&] { (void)read_google_checkpoint(folder.path()); }); };
  ASSERT_EQ(message(), "");
  const auto entries = read_leveldb_table(std::as_bytes(std::span(table)), "t");
  std::string flipped = whole;
  flipped[whole.size() / 2] = static_cast<char>(flipped[whole.size() / 2] ^ 1);
  write_bytes(data, flipped);
  EXPECT_NE(message().find("crc32c"), std::string::npos) << message();
  write_bytes(data, whole.substr(0, whole.size() - 1));
  EXPECT_NE(message().find("beyond"), std::string::npos) << message();
  std::filesystem::remove(data);
  EXPECT_NE(message(), "");
  write_bytes(data, whole);
  for (std::size_t at = 0; at < table.size(); at += 7) {
    std::string damaged = table;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    write_bytes(index, damaged);
    // The meta index and the padding of the footer are not read: a change there changes nothing.
    if (message().empty()) {
      EXPECT_EQ(read_leveldb_table(std::as_bytes(std::span(damaged)), "t"), entries) << at;
    }
  }
  for (std::size_t size = 0; size < table.size(); size += 11) {
    write_bytes(index, table.substr(0, size));
    EXPECT_NE(message(), "") << size;
  }
  std::filesystem::remove(index);
  EXPECT_NE(message().find("no TensorFlow checkpoint"), std::string::npos);
}

// Index files whose blocks carry a right crc32c, so that what is behind the crc is reached.
TEST(GoogleCheckpoint, TenThousandMutationsOfTheIndex) {
  const TestFolder folder("google-mutations");
  tiny_checkpoint().write(folder / "bert_model.ckpt");
  const std::string table = read_bytes(folder / "bert_model.ckpt.index");
  const auto entries = read_leveldb_table(std::as_bytes(std::span(table)), "t");
  ASSERT_GT(entries.size(), 20u);
  Rng rng(9);
  int accepted = 0;
  for (int round = 0; round < 10000; ++round) {
    std::vector<std::pair<std::string, std::string>> some(entries.begin(), entries.begin() + 4);
    for (int edit = 0; edit < 2; ++edit) {
      auto& [key, value] = some[rng.below(some.size())];
      std::string& text = rng.below(4) == 0 ? key : value;
      if (text.empty()) continue;
      const std::size_t at = rng.below(text.size());
      if (rng.below(2) == 0) {
        text[at] = static_cast<char>(rng.below(256));
      } else if (rng.below(2) == 0) {
        text.resize(at);
      } else {
        text.insert(at, std::string(1 + rng.below(9), '\xff'));
      }
    }
    write_bytes(folder / "bert_model.ckpt.index", CheckpointWriter::table(some));
    try {
      (void)read_tensor_bundle(folder / "bert_model.ckpt");
      ++accepted;
    } catch (const Error&) {
    }
    std::string bytes = table;
    bytes[rng.below(bytes.size())] = static_cast<char>(rng.below(256));
    try {
      (void)read_leveldb_table(std::as_bytes(std::span(bytes)), "t");
    } catch (const Error&) {
    }
  }
  EXPECT_LT(accepted, 5000);
}

}  // namespace
}  // namespace penjing
