// The three rules of Tang et al. on a vocabulary and embeddings that can be followed by hand.
#include <gtest/gtest.h>

#include <map>

#include "tests/augment/small_words.h"

namespace penjing::augment {
namespace {

class BiLstmRules : public ::testing::Test {
 protected:
  std::unique_ptr<Augmenter> make(std::initializer_list<Json::Member> given, uint64_t seed = 1) {
    const AugmentMethod& method = *find_augment_method("bilstm");
    return method.make({*words_.tokenizer, words_.table, nullptr, 0, pool_, seed}, resolved(method, given));
  }
  std::string change(const Augmenter& augmenter, const std::string& text, Rng& rng) const {
    return augmenter.change(split_text(*words_.tokenizer, text), rng);
  }
  SmallWords words_;
  ThreadPool pool_{1};
};

// Words are the, Film, ",", unreal, dog: a draw each, then one for the whole text.
TEST_F(BiLstmRules, MasksWords) {
  const auto augmenter =
      make({{"class_probability", 0}, {"ngram_probability", 0}, {"mask_probability", 0.3}});
  int masked = 0;
  for (uint64_t example = 0; example < 200; ++example) {
    Rng rng(3, example), again(3, example);
    std::vector<std::string> now = {"the", "Film", ",", "unreal", "dog"};
    for (std::string& word : now) {
      if (again.uniform() < 0.3) word = "[MASK]", ++masked;
    }
    EXPECT_EQ(change(*augmenter, "the Film, unreal dog", rng),
              now[0] + " " + now[1] + now[2] + " " + now[3] + " " + now[4]);
  }
  EXPECT_NEAR(masked, 300, 60);
}

TEST_F(BiLstmRules, KeepsSomeWordsInARow) {
  const auto augmenter = make({{"class_probability", 0}, {"mask_probability", 0}, {"ngram_probability", 1}});
  const std::string text = "the film , unreal dog was good";
  std::map<std::string, int> seen;
  std::map<std::size_t, int> lengths;
  for (uint64_t example = 0; example < 2000; ++example) {
    Rng rng(5, example);
    const std::string part = change(*augmenter, text, rng);
    EXPECT_NE((" " + text + " ").find(" " + part + " "), std::string::npos) << part;
    ++seen[part];
    ++lengths[split_text(*words_.tokenizer, part).words.size()];
  }
  EXPECT_EQ(seen.size(), 7u + 6 + 5 + 4 + 3);  // every run of one to five of seven words
  ASSERT_EQ(lengths.size(), 5u);
  for (const auto& [length, count] : lengths) EXPECT_NEAR(count, 400, 80) << length;
  Rng rng(1, 1);
  EXPECT_EQ(change(*augmenter, "  ", rng), "  ");
}

// Directions of the words below: good, dog, cat, great, un + ##real near 45 degrees; film, "!" near -45 to
// -18; bad and the on the other side. Two classes of good and dog against film: whoever is in one class never
// becomes a word of the other. Within the class words are drawn as often as they occur: dog three times, good
// once.
TEST_F(BiLstmRules, DrawsWordsOfTheClassByTheirCount) {
  const auto augmenter =
      make({{"class_probability", 1}, {"mask_probability", 0}, {"ngram_probability", 0}, {"classes", 2}});
  const std::vector<SplitText> data = {split_text(*words_.tokenizer, "dog dog dog good"),
                                       split_text(*words_.tokenizer, "film film ! \xF0\x9F\x98\x80 [MASK]")};
  augmenter->survey(data);
  augmenter->end_survey();
  std::map<std::string, int> of_good, of_film;
  for (uint64_t example = 0; example < 2000; ++example) {
    Rng rng(5, example);
    ++of_good[change(*augmenter, "good", rng)];
    ++of_film[change(*augmenter, "film", rng)];
  }
  EXPECT_EQ(of_good.size(), 2u);
  EXPECT_NEAR(of_good["dog"], 1500, 90);
  EXPECT_NEAR(of_good["good"], 500, 90);
  EXPECT_EQ(of_film.size(), 2u);
  EXPECT_NEAR(of_film["film"], 1333, 90);
  EXPECT_NEAR(of_film["!"], 667, 90);
  // What cannot be spelled, special tokens and words that the data do not have stay.
  Rng rng(1, 1);
  EXPECT_EQ(change(*augmenter, "\xF0\x9F\x98\x80 [MASK] cat", rng), "\xF0\x9F\x98\x80 [MASK] cat");
}

// k-means finds groups that lie apart, whatever it begins with.
TEST_F(BiLstmRules, ClassesAreWordsThatLieTogether) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const auto augmenter = make(
        {{"class_probability", 1}, {"mask_probability", 0}, {"ngram_probability", 0}, {"classes", 3}}, seed);
    const std::vector<SplitText> data = {split_text(*words_.tokenizer, "dog cat unreal film ! bad")};
    augmenter->survey(data);
    augmenter->end_survey();
    std::map<std::string, std::set<std::string>> into;
    for (uint64_t example = 0; example < 100; ++example) {
      Rng rng(seed, example);
      for (const char* word : {"dog", "film", "bad"}) into[word].insert(change(*augmenter, word, rng));
    }
    EXPECT_EQ(into["dog"], (std::set<std::string>{"dog", "cat", "unreal"})) << seed;
    EXPECT_EQ(into["film"], (std::set<std::string>{"film", "!"})) << seed;
    EXPECT_EQ(into["bad"], (std::set<std::string>{"bad"})) << seed;
  }
}

TEST_F(BiLstmRules, GoesThroughTheTextsOfAPairInTurn) {
  const auto augmenter = make({{"class_probability", 0}, {"mask_probability", 1}, {"ngram_probability", 0}});
  EXPECT_EQ(augmenter->rows(false).size(), 20u);
  EXPECT_EQ(augmenter->rows(true).size(), 10u);
  const auto rows = rows_of(dataset_of({"film"}, {"cat dog"}), *words_.tokenizer, *augmenter);
  EXPECT_EQ(rows, (std::vector<std::string>{"film|cat dog|0", "[MASK]|cat dog|0", "film|[MASK] [MASK]|0",
                                            "[MASK]|[MASK] [MASK]|0"}));
}

TEST_F(BiLstmRules, RefusesProbabilitiesBeyondOne) {
  EXPECT_NE(error_of([&] {
              make({{"mask_probability", 0.6}, {"class_probability", 0.6}});
            }).find("at most 1"),
            std::string::npos);
}

// The same rows on one thread and on three, for any number of examples after; others for another seed.
TEST_F(BiLstmRules, RowsFollowFromTheSeed) {
  std::vector<std::string> texts;
  for (int i = 0; i < 150; ++i)
    texts.push_back(std::string(SmallWords::kTokens[5 + i % 6]) + " dog film unreal " +
                    std::to_string(i % 7));
  const auto all = [&](int threads, uint64_t seed, std::size_t limit) {
    const auto augmenter = make({{"class_probability", 0}});
    return rows_of(dataset_of({texts.begin(), texts.begin() + static_cast<std::ptrdiff_t>(limit)}),
                   *words_.tokenizer, *augmenter, threads, seed);
  };
  const auto rows = all(1, 1, 150);
  EXPECT_EQ(rows, all(3, 1, 150));
  EXPECT_NE(rows, all(1, 2, 150));
  const auto fewer = all(1, 1, 70);
  EXPECT_TRUE(std::equal(fewer.begin(), fewer.end(), rows.begin()));
  EXPECT_EQ(std::set<std::string>(fewer.begin(), fewer.end()).size(), fewer.size() - 0)
      << "rows of an example twice";
}

}  // namespace
}  // namespace penjing::augment
