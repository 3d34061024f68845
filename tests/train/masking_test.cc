#include "train/masking.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include "base/rng.h"
#include "data/text_stream.h"
#include "tests/base/test_folder.h"

namespace penjing::train {
namespace {

constexpr int kWords = 200;

std::shared_ptr<const Tokenizer> tiny_tokenizer(const TestFolder& folder) {
  std::string words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
  for (int i = 0; i < kWords; ++i) words += fmt::format("{}w{}\n", i % 4 == 3 ? "##" : "", i);
  write_bytes(folder / "vocab.txt", words);
  write_bytes(folder / "tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer"})");
  return Tokenizer::load(folder.path());
}

// [CLS] text [SEP]: a quarter of the pieces go on with a word.
std::vector<int32_t> draw_text(Rng& rng, std::size_t length) {
  std::vector<int32_t> ids = {2};
  while (ids.size() + 1 < length) ids.push_back(5 + static_cast<int32_t>(rng.below(kWords)));
  ids.push_back(3);
  return ids;
}

class Masks : public ::testing::Test {
 protected:
  TestFolder folder_{std::string("masks-") + ::testing::UnitTest::GetInstance()->current_test_info()->name()};
  std::shared_ptr<const Tokenizer> tokenizer_ = tiny_tokenizer(folder_);
  bool continues(int32_t id) const { return tokenizer_->token(id).starts_with("##"); }
};

TEST_F(Masks, SharesAreBertsAndWordsAreWhole) {
  const Masking masking(*tokenizer_, {});
  Rng rng(3);
  int64_t text = 0, predicted = 0, masked = 0, random = 0, kept = 0;
  std::map<int32_t, int> drawn;
  for (int64_t sample = 0; sample < 4000; ++sample) {
    const std::vector<int32_t> ids = draw_text(rng, 128);
    const MaskedSequence out = masking.mask(ids, sample);
    ASSERT_EQ(out.ids.size(), ids.size());
    std::set<int32_t> places(out.positions.begin(), out.positions.end());
    ASSERT_EQ(places.size(), out.positions.size());
    text += 126;
    predicted += static_cast<int64_t>(places.size());
    ASSERT_LE(places.size(), 19u);  // round(0.15 * 126)
    ASSERT_GE(places.size(), 17u);  // words of several pieces may leave a place or two free
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const bool chosen = places.contains(static_cast<int32_t>(i));
      if (!chosen) {
        ASSERT_EQ(out.ids[i], ids[i]);
        continue;
      }
      ASSERT_TRUE(i > 0 && i + 1 < ids.size()) << "a special token";
      // Pieces of one word share their fate.
      ASSERT_TRUE(!continues(ids[i]) || i == 1 || places.contains(static_cast<int32_t>(i) - 1));
      ASSERT_TRUE(!continues(ids[i + 1]) || places.contains(static_cast<int32_t>(i) + 1));
    }
    for (std::size_t p = 0; p < out.positions.size(); ++p) {
      const auto i = static_cast<std::size_t>(out.positions[p]);
      ASSERT_EQ(out.labels[p], ids[i]);
      if (out.ids[i] == 4) {
        ++masked;
      } else if (out.ids[i] == ids[i]) {
        ++kept;
      } else {
        ++random;
        ++drawn[out.ids[i]];
      }
    }
  }
  const auto n = static_cast<double>(predicted);
  EXPECT_NEAR(n / static_cast<double>(text), 0.15, 0.002);
  // Binomial deviations of 76,000 draws are 0.0015 and 0.0011; four of them. A random draw hits the mask or
  // the token itself once in 205.
  const double hit = 0.1 / 205;
  EXPECT_NEAR(static_cast<double>(masked) / n, 0.8 + hit, 0.006);
  EXPECT_NEAR(static_cast<double>(kept) / n, 0.1 + hit, 0.0045);
  EXPECT_NEAR(static_cast<double>(random) / n, 0.1 - 2 * hit, 0.0045);
  // Uniform over the vocabulary: every id but the mask, some 37 times.
  EXPECT_EQ(drawn.size(), 204u);
  for (const auto& [id, count] : drawn) EXPECT_LT(count, 80) << id;
}

TEST_F(Masks, EveryWordIsAsLikelyAsAnother) {
  MaskingOptions options;
  options.whole_words = false;
  const Masking masking(*tokenizer_, options);
  std::vector<int> counts(42, 0);
  std::vector<int32_t> ids(42, 5);
  ids.front() = 2;
  ids.back() = 3;
  constexpr int kDraws = 20000;
  for (int64_t sample = 0; sample < kDraws; ++sample) {
    for (const int32_t i : masking.mask(ids, sample).positions) ++counts[static_cast<std::size_t>(i)];
  }
  EXPECT_EQ(counts.front(), 0);
  EXPECT_EQ(counts.back(), 0);
  for (std::size_t i = 1; i < 41; ++i) EXPECT_NEAR(counts[i] / double{kDraws}, 6 / 40.0, 0.012) << i;
}

TEST_F(Masks, DrawsDependOnSeedAndSampleAlone) {
  Rng rng(9);
  const std::vector<int32_t> ids = draw_text(rng, 100);
  MaskingOptions other_seed;
  other_seed.seed = 2;
  const Masking a(*tokenizer_, {}), b(*tokenizer_, {}), c(*tokenizer_, other_seed);
  for (int64_t sample = 10; sample >= 0; --sample) (void)a.mask(ids, sample);  // no state
  const MaskedSequence one = a.mask(ids, 7), same = b.mask(ids, 7);
  EXPECT_EQ(one.ids, same.ids);
  EXPECT_EQ(one.positions, same.positions);
  EXPECT_NE(one.positions, a.mask(ids, 8).positions);
  EXPECT_NE(one.positions, c.mask(ids, 7).positions);
}

TEST_F(Masks, LimitsAndRefusals) {
  Rng rng(1);
  MaskingOptions options;
  options.max_predictions = 5;
  EXPECT_LE(Masking(*tokenizer_, options).mask(draw_text(rng, 128), 0).positions.size(), 5u);
  options.max_predictions = 0;
  const Masking masking(*tokenizer_, options);
  EXPECT_EQ(masking.mask(std::vector<int32_t>{2, 5, 3}, 0).positions, std::vector<int32_t>{1});
  EXPECT_TRUE(masking.mask(std::vector<int32_t>{2, 3}, 0).positions.empty());
  // "w0 ##w3 ##w7": longer than the one prediction that its length allows.
  EXPECT_EQ(masking.mask(std::vector<int32_t>{2, 5, 8, 12, 3}, 0).positions, (std::vector<int32_t>{1, 2, 3}));
  options.share = 0;
  EXPECT_NE(error_of([&] { Masking(*tokenizer_, options); }).find("wanted 0 < share < 1"), std::string::npos);
  options = {};
  options.random_share = 0.3;
  EXPECT_NE(error_of([&] { Masking(*tokenizer_, options); }).find("0 to 1 in all"), std::string::npos);
}

// On real text the words that "##" makes are the tokenizer's own.
TEST(MasksOnText, PiecesFollowTheTokenizersWords) {
  const char* given = std::getenv("PENJING_DATA");
  const std::filesystem::path data =
      given != nullptr ? given : std::filesystem::path(PENJING_SOURCE_DIR) / "../shared/data";
  if (!std::filesystem::exists(data / "bert-uncased-tokenizer")) GTEST_SKIP() << data << " is not there";
  const auto tokenizer = Tokenizer::load(data / "bert-uncased-tokenizer");
  const std::string text =
      "Anti-statism is central; antidisestablishmentarianism (the word \"anarchos\", ἀναρχία) isn't — 1,539 "
      "times! "
      "Penjing's landscapes, 盆景, are grown on unglazed trays.";
  const Encoding encoding = tokenizer->encode(text);
  for (std::size_t i = 2; i + 1 < encoding.ids.size(); ++i) {
    EXPECT_EQ(tokenizer->token(encoding.ids[i]).starts_with("##"), encoding.words[i] == encoding.words[i - 1])
        << i;
  }
}

}  // namespace
}  // namespace penjing::train
