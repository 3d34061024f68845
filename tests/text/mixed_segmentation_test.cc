#include "text/mixed_segmentation.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

std::shared_ptr<const Tokenizer> wordpiece(const std::filesystem::path& folder,
                                           const std::vector<std::string>& words) {
  std::string all = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
  for (const std::string& word : words) all += word + "\n";
  write_bytes(folder / "vocab.txt", all);
  write_bytes(folder / "tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer"})");
  return Tokenizer::load(folder);
}

class MixedSegmentationTest : public ::testing::Test {
 protected:
  TestFolder folder_{"mixed"};
  std::shared_ptr<const Tokenizer> whole_ =
      wordpiece(folder_ / "whole", {"cats", "cat", "##s", "dogs", "do", "##gs", "zebra", ".", "##zz"});
  // In another order than the whole one's.
  std::shared_ptr<const Tokenizer> reduced_ =
      wordpiece(folder_ / "reduced", {".", "##gs", "do", "##s", "cat"});

  std::string spelled(double share, const std::string& text, uint64_t round = 0) const {
    const MixedSegmentation mixed(*whole_, reduced_, share, 7);
    std::string out;
    for (const int32_t id : mixed.encode(text, round))
      out += (out.empty() ? "" : " ") + std::string(whole_->token(id));
    return out;
  }
};

TEST_F(MixedSegmentationTest, OneVocabularyTheOtherOrBoth) {
  EXPECT_EQ(spelled(0, "Cats dogs."), "cats dogs .");
  EXPECT_EQ(spelled(1, "Cats dogs."), "cat ##s do ##gs .");
  EXPECT_EQ(spelled(1, "zebra cats"), "zebra cat ##s");  // what the smaller one cannot spell stays
  std::set<std::string> seen;
  for (uint64_t round = 0; round < 40; ++round) seen.insert(spelled(0.5, "cats dogs", round));
  EXPECT_EQ(seen, (std::set<std::string>{"cats dogs", "cat ##s dogs", "cats do ##gs", "cat ##s do ##gs"}));
  EXPECT_EQ(spelled(0.5, "cats dogs", 3), spelled(0.5, "cats dogs", 3));
}

TEST_F(MixedSegmentationTest, TheShareIsOfWords) {
  const MixedSegmentation mixed(*whole_, reduced_, 0.3, 1);
  int pieces = 0;
  for (int i = 0; i < 4000; ++i)
    pieces += static_cast<int>(mixed.encode("cats", static_cast<uint64_t>(i)).size()) - 1;
  EXPECT_NEAR(pieces / 4000.0, 0.3, 0.03);
}

TEST_F(MixedSegmentationTest, WhatDoesNotFitIsNamed) {
  const auto refusal = [&](std::shared_ptr<const Tokenizer> reduced, double share) -> std::string {
    try {
      (void)MixedSegmentation(*whole_, std::move(reduced), share, 1);
    } catch (const Error& error) {
      return error.what();
    }
    return "taken";
  };
  EXPECT_NE(refusal(wordpiece(folder_ / "other", {"cat", "horse"}), 0.5).find("horse"), std::string::npos);
  EXPECT_NE(refusal(reduced_, 1.5).find("1.5"), std::string::npos);
  EXPECT_NE(MixedSegmentation(*whole_, reduced_, 0.5, 1).fingerprint(),
            MixedSegmentation(*whole_, reduced_, 0.4, 1).fingerprint());
}

}  // namespace
}  // namespace penjing
