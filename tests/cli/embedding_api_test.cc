#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "penjing/penjing.h"
#include "tests/cli/tiny_folder.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using testing::TinyHead;

class EmbeddingApi : public ::testing::Test {
 protected:
  fs::path folder_ =
      fs::path(::testing::TempDir()) / ("penjing_" + std::to_string(::getpid()) + "_" +
                                        ::testing::UnitTest::GetInstance()->current_test_info()->name());
  void TearDown() override { fs::remove_all(folder_); }
};

TEST_F(EmbeddingApi, EncodesInOrderAndAlone) {
  testing::write_tiny_folder(folder_, TinyHead::kSentence);
  Encoder encoder(folder_.string(), {1, 0});
  EXPECT_EQ(encoder.dimension(), 32u);
  const auto both = encoder.encode({"the cat sat on the mat", "a"});
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[1], encoder.encode({"a"})[0]);  // bit for bit
  EXPECT_NE(both[0], both[1]);
  EXPECT_TRUE(encoder.encode({}).empty());
  Encoder moved = std::move(encoder);
  EXPECT_EQ(moved.encode({"a"})[0], both[1]);
}

TEST_F(EmbeddingApi, DefaultPromptGoesBeforeTheText) {
  testing::write_tiny_folder(folder_, TinyHead::kSentence);
  const auto wanted = Encoder(folder_.string()).encode({"the cat sat"});
  std::ofstream(folder_ / "config_sentence_transformers.json")
      << R"({"prompts": {"query": "the cat "}, "default_prompt_name": "query"})";
  EXPECT_EQ(Encoder(folder_.string()).encode({"sat"}), wanted);
}

TEST_F(EmbeddingApi, ClassifiesWithLabels) {
  testing::write_tiny_folder(folder_, TinyHead::kClassifier);
  Encoder encoder(folder_.string());
  const auto classes = encoder.classify({"the cat", "the dog ran"});
  ASSERT_EQ(classes.size(), 2u);
  for (const auto& list : classes) {
    ASSERT_EQ(list.size(), 3u);
    EXPECT_NEAR(list[0].second + list[1].second + list[2].second, 1, 1e-9);
    EXPECT_GE(list[0].second, list[1].second);
  }
  EXPECT_THROW(encoder.encode({"the cat"}), Failure);
}

TEST_F(EmbeddingApi, OnlyFailureLeavesIt) {
  EXPECT_THROW(Encoder(folder_.string()), Failure);
  testing::write_tiny_folder(folder_, TinyHead::kSentence);
  fs::resize_file(folder_ / "model.safetensors", 1000);
  EXPECT_THROW(Encoder(folder_.string()), Failure);
}

}  // namespace
}  // namespace penjing
