#include "train/text_examples.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/thread_pool.h"
#include "tests/cli/tiny_folder.h"

namespace penjing::train {
namespace {

TEST(TextExamples, AreTheTokenizersEncodingsCutAtTheLength) {
  const std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / ("penjing_texts_" + std::to_string(::getpid()));
  testing::write_tiny_folder(folder, testing::TinyHead::kSentence);
  const auto tokenizer = Tokenizer::load(folder);
  std::filesystem::remove_all(folder);
  ThreadPool pool(2);
  const std::vector<std::string> texts = {"the cat sat on the mat .", "a dog", "the house"};
  const std::vector<std::string> pairs = {"a dog ran", "in the house", "red"};
  const TextExamples alone(*tokenizer, pool, texts, {}, 6);
  ASSERT_EQ(alone.size(), 3);
  EXPECT_EQ(alone.num_truncated(), 1);
  EXPECT_EQ(alone[0].ids.size(), 6u);
  EXPECT_EQ(alone[1].ids, tokenizer->encode(texts[1], {}).ids);
  EXPECT_NE(alone.describe_lengths(6).find("longest 6; 1 cut at 6"), std::string::npos)
      << alone.describe_lengths(6);
  const TextExamples together(*tokenizer, pool, texts, pairs, 32);
  EXPECT_EQ(together[1].ids, tokenizer->encode_pair(texts[1], pairs[1], {}).ids);
  EXPECT_EQ(together[1].types, tokenizer->encode_pair(texts[1], pairs[1], {}).type_ids);

  const Sequence* sequences[] = {&together[1], &alone[1]};
  const PackedBatch batch = pack(sequences, {40, 41});
  EXPECT_EQ(batch.num_sequences(), 2);
  const auto first = static_cast<int64_t>(together[1].ids.size());
  EXPECT_EQ(batch.offsets[1], first);
  EXPECT_EQ(batch.positions[first].item<int64_t>(), 0);
  EXPECT_EQ(batch.row_keys[first + 1].item<int64_t>(), (int64_t{41} << 20) + 1);
  EXPECT_EQ(batch.types[first - 1].item<int64_t>(), 1);  // the second text's
  EXPECT_EQ(batch.types.narrow(0, first, batch.num_tokens() - first).sum().item<int64_t>(), 0);
}

}  // namespace
}  // namespace penjing::train
