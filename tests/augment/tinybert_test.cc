// Algorithm 1 on a vocabulary and embeddings that can be followed by hand; the lists of candidates of a real
// network are compared with `penjing fill-mask` in tests/cli/augment_test.cc.
#include <gtest/gtest.h>

#include "augment/stop_words.h"
#include "tests/augment/small_words.h"

namespace penjing::augment {
namespace {

class TinyBert : public ::testing::Test {
 protected:
  std::unique_ptr<Augmenter> make(std::initializer_list<Json::Member> given) {
    const AugmentMethod& method = *find_augment_method("tinybert");
    return method.make({*words_.tokenizer, words_.table, &model_, model_.max_length(), pool_, 1},
                       resolved(method, given));
  }
  SplitText split(const std::string& text) const { return split_text(*words_.tokenizer, text); }

  SmallWords words_;
  // "##s" is no word, "[MASK]" is special: neither is ever put into a text.
  FixedMaskedLm model_{19, words_.ids({"great", "##s", "good", "[MASK]", "bad", "cat"})};
  ThreadPool pool_{1};
};

// K = 5: the likeliest five are great, ##s, good, [MASK], bad; words of them: great, good, bad. Neighbours of
// un + ##real, direction (1, 1): cat (1, 1) has cosine 1, dog (2, 2.2) 0.99887, good (2, 1) 0.94868, great
// (0.2, 2) 0.77396, un (1, 0) 0.70711, film (3, -1) 0.44721; "7" and "," have 1 but are no words of letters,
// ##s is a piece.
TEST_F(TinyBert, FollowsTheAlgorithm) {
  const auto augmenter = make({{"candidates", 5}, {"replace_probability", 0.4}});
  const SplitText text = split("The  film was Great, unreal 7 !");
  augmenter->prepare({&text, 1});
  EXPECT_EQ(model_.masked_ids, std::vector<int32_t>(2, words_.id("[MASK]")));
  EXPECT_EQ(model_.asked[0],
            words_.ids({"[CLS]", "the", "[MASK]", "was", "great", ",", "un", "##real", "7", "!", "[SEP]"}));
  EXPECT_EQ(model_.asked[1],
            words_.ids({"[CLS]", "the", "film", "was", "[MASK]", ",", "un", "##real", "7", "!", "[SEP]"}));
  const std::vector<std::vector<std::string>> candidates = {
      {"great", "good", "bad"}, {"great", "good", "bad"}, {"cat", "dog", "good", "great", "un"}};
  const std::vector<std::string> own = {"film", "Great", "unreal"};
  bool changed = false;
  for (uint64_t example = 0; example < 200; ++example) {
    Rng rng(7, example), again(7, example);
    std::vector<std::string> now = own;
    for (std::size_t w = 0; w < 3; ++w) {
      const std::string choice = candidates[w][again.below(candidates[w].size())];
      if (again.uniform() < 0.4 && choice != (w == 1 ? "great" : "")) now[w] = choice;  // itself: left alone
    }
    const std::string expected = "The  " + now[0] + " was " + now[1] + ", " + now[2] + " 7 !";
    EXPECT_EQ(augmenter->change(text, rng), expected);
    changed = changed || now != own;
  }
  EXPECT_TRUE(changed);
}

TEST_F(TinyBert, ShowsTheTextBesideAsTheReleasedCodeDoes) {
  const auto augmenter = make({{"context", "pair"}});
  const SplitText text = split("the film");
  augmenter->prepare({&text, 1});
  ASSERT_EQ(model_.asked.size(), 1u);
  EXPECT_EQ(model_.asked[0], words_.ids({"[CLS]", "the", "[MASK]", "[SEP]", "the", "film", "[SEP]"}));
}

// A place is asked for once, however often its text stands in the data; a word beyond what the model reads
// stays.
TEST_F(TinyBert, AsksOnceAPlace) {
  const auto augmenter = make({{"replace_probability", 1}});
  std::string far = "film";
  for (int i = 0; i < 80; ++i) far += " the";
  const std::vector<SplitText> texts = {split("cat"), split("cat"), split("dog cat"), split(far + " dog")};
  augmenter->prepare(texts);
  EXPECT_EQ(model_.asked.size(), 4u);
  Rng rng(1, 1);
  const std::string changed = augmenter->change(texts[3], rng);
  EXPECT_TRUE(changed.ends_with(" the dog")) << changed;
  EXPECT_FALSE(changed.starts_with("film"));
}

// Of every row: as many words, and only words of letters that are no stop words have changed, each into one
// of the candidates; about two in five of them.
TEST_F(TinyBert, ChangesOnlyWhatItMay) {
  const auto augmenter = make({{"variants", 200}, {"candidates", 6}});
  const Dataset data = dataset_of({"the film was good , 7 unreal dog !", "film, great film"});
  const std::vector<std::string> rows = rows_of(data, *words_.tokenizer, *augmenter);
  const std::set<std::string> masked = {"great", "good", "bad", "cat"};
  int places = 0, replaced = 0;
  for (const std::string& row : rows) {
    const bool first = row.ends_with("|0");
    const SplitText before = split(data.examples[first ? 0 : 1].text),
                    after = split(row.substr(0, row.rfind('|')));
    ASSERT_EQ(after.words.size(), before.words.size()) << row;
    for (std::size_t w = 0; w < before.words.size(); ++w) {
      const std::string old(before.word(w)), now(after.word(w));
      const bool may = is_alphabetic(old) && !is_stop_word(old);
      places += may ? 1 : 0;
      if (old == now) continue;
      ++replaced;
      EXPECT_TRUE(may) << row;
      EXPECT_TRUE(old == "unreal" || masked.contains(now)) << row;
    }
  }
  EXPECT_GT(rows.size(), 100u);
  EXPECT_GT(replaced, places * 0.25);  // duplicates, mostly of rows with few changes, are left out
  EXPECT_LT(replaced, places * 0.6);
}

TEST_F(TinyBert, ChangesOneTextOfAPairAtATime) {
  const auto augmenter = make({{"variants", 30}, {"replace_probability", 1}});
  const Dataset data = dataset_of({"film dog"}, {"cat dog"});
  const auto rows = rows_of(data, *words_.tokenizer, *augmenter);
  EXPECT_EQ(rows.front(), "film dog|cat dog|0");
  int first = 0, second = 0;
  for (const std::string& row : rows) {
    const bool same_second = row.find("|cat dog|") != std::string::npos,
               same_first = row.starts_with("film dog|");
    EXPECT_TRUE(same_first || same_second) << row;
    first += same_first ? 0 : 1;
    second += same_second ? 0 : 1;
  }
  EXPECT_GT(first, 5);
  EXPECT_GT(second, 5);
}

TEST(StopWords, AreWordsOfGrammar) {
  for (const char* word : {"the", "The", "not", "t", "won"}) EXPECT_TRUE(is_stop_word(word)) << word;
  for (const char* word : {"film", "never", "good", ""}) EXPECT_FALSE(is_stop_word(word)) << word;
}

}  // namespace
}  // namespace penjing::augment
