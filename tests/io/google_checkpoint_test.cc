#include "io/google_checkpoint.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "io/tensor_bundle.h"
#include "tests/base/test_folder.h"
#include "tests/io/checkpoint_writer.h"

namespace penjing {
namespace {

using checkpoint::Array;
using checkpoint::CheckpointWriter;
using checkpoint::tiny_checkpoint;

// RFC 3720, B.4, and the check value of the polynomial.
TEST(Crc32c, KnownAnswers) {
  EXPECT_EQ(checkpoint::crc_of("123456789"), 0xe3069283u);
  EXPECT_EQ(checkpoint::crc_of(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(checkpoint::crc_of(std::string(32, '\xff')), 0x62a8ab43u);
  std::string rising(32, '\0');
  for (std::size_t i = 0; i < 32; ++i) rising[i] = static_cast<char>(i);
  EXPECT_EQ(checkpoint::crc_of(rising), 0x46dd794eu);
  EXPECT_EQ(checkpoint::crc_of(""), 0u);
  const std::string text = "a longer text, of no multiple of eight bytes";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const auto bytes = std::as_bytes(std::span(text));
    EXPECT_EQ(crc32c(bytes.subspan(cut), crc32c(bytes.first(cut))), checkpoint::crc_of(text));
  }
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
