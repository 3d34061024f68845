#include "train/batches.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace penjing::train {
namespace {

std::vector<int64_t> some_tokens(int64_t count) {
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < count; ++i) tokens.push_back(3 + i * 7 % 40);
  return tokens;
}

std::vector<int64_t> epoch_order(Batches& batches, int64_t epoch) {
  std::vector<int64_t> order;
  for (int64_t s = batches.num_steps(epoch); s < batches.num_steps(epoch + 1); ++s) {
    const auto examples = batches.examples(s);
    order.insert(order.end(), examples.begin(), examples.end());
  }
  return order;
}

TEST(Batches, EveryEpochIsAnotherPermutationInStepsOfTheSize) {
  Batches batches(some_tokens(103), {.batch_size = 10, .batch_tokens = 0, .seed = 4});
  EXPECT_EQ(batches.num_steps(1), 11);
  EXPECT_EQ(batches.num_steps(3), 33);
  EXPECT_EQ(batches.examples(9).size(), 10u);
  EXPECT_EQ(batches.examples(10).size(), 3u);  // what is left
  std::vector<int64_t> all(103);
  std::iota(all.begin(), all.end(), 0);
  std::vector<int64_t> first = epoch_order(batches, 0), second = epoch_order(batches, 1);
  EXPECT_NE(first, second);
  EXPECT_NE(first, all);
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  EXPECT_EQ(first, all);
  EXPECT_EQ(second, all);
}

TEST(Batches, TheOrderIsAFunctionOfTheSeedAndTheEpochHoweverItIsReached) {
  Batches a(some_tokens(50), {.batch_size = 7, .batch_tokens = 0, .seed = 4});
  Batches b(some_tokens(50), {.batch_size = 7, .batch_tokens = 0, .seed = 4});
  Batches other(some_tokens(50), {.batch_size = 7, .batch_tokens = 0, .seed = 5});
  const std::vector<int64_t> jumped(b.examples(20).begin(), b.examples(20).end());  // as a resumed run does
  for (int64_t s = 0; s < 20; ++s) a.examples(s);
  EXPECT_TRUE(std::ranges::equal(a.examples(20), jumped));
  EXPECT_FALSE(std::ranges::equal(other.examples(20), jumped));
  EXPECT_EQ(a.place(20).epoch, 2);
  EXPECT_EQ(a.place(20).step, 4);
}

TEST(Batches, ByTokensAStepHoldsAsManyAsFit) {
  const std::vector<int64_t> tokens = some_tokens(60);
  Batches batches(tokens, {.batch_size = 1, .batch_tokens = 90, .seed = 1});
  int64_t seen = 0;
  for (int64_t s = 0; s < batches.num_steps(1); ++s) {
    int64_t sum = 0;
    for (const int64_t i : batches.examples(s)) sum += tokens[i], ++seen;
    EXPECT_LE(sum, 90);
    if (s + 1 < batches.num_steps(1)) {
      EXPECT_GT(sum + tokens[batches.examples(s + 1)[0]], 90) << "step " << s << " had room";
    }
  }
  EXPECT_EQ(seen, 60);
  Batches long_one({500, 3}, {.batch_size = 1, .batch_tokens = 90, .seed = 1});
  EXPECT_EQ(long_one.num_steps(1), 2);  // an example longer than a step is a step
}

// Groups of 60 (each once an epoch), 25 (10 of them an epoch) and 4 (7 an epoch).
TEST(Batches, AStepTakesExamplesOfOneGroup) {
  const std::vector<Batches::Group> groups = {{60, 60}, {25, 10}, {4, 7}};
  const Batches::Settings settings = {.batch_size = 8, .batch_tokens = 0, .seed = 4};
  Batches batches(some_tokens(89), settings, groups);
  constexpr int64_t kEpochs = 10;
  const auto group_of = [](int64_t example) { return example < 60 ? 0 : example < 85 ? 1 : 2; };
  std::vector<int64_t> seen(89);
  std::vector<int> first_steps;
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    EXPECT_EQ(batches.num_steps(epoch + 1) - batches.num_steps(epoch), 8 + 2 + 1);
    std::vector<int64_t> taken(3);
    for (int64_t s = batches.num_steps(epoch); s < batches.num_steps(epoch + 1); ++s) {
      const auto examples = batches.examples(s);
      for (const int64_t i : examples) {
        EXPECT_EQ(group_of(i), group_of(examples[0]));
        ++taken[static_cast<std::size_t>(group_of(i))];
        ++seen[static_cast<std::size_t>(i)];
      }
      if (s == batches.num_steps(epoch)) first_steps.push_back(group_of(examples[0]));
    }
    EXPECT_EQ(taken, (std::vector<int64_t>{60, 10, 7}));
  }
  // Each as often as the others of its group, but for a permutation in progress.
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const int64_t least = i < 60 ? 10 : i < 85 ? 4 : 17;
    EXPECT_GE(seen[i], least) << i;
    EXPECT_LE(seen[i], least + (i < 85 ? 0 : 1)) << i;
  }
  EXPECT_FALSE(std::ranges::all_of(first_steps, [&](int g) { return g == first_steps[0]; }));
  Batches other(some_tokens(89), settings, groups);
  for (const int64_t s : {50, 3}) EXPECT_TRUE(std::ranges::equal(other.examples(s), batches.examples(s)));
}

TEST(Batches, FindsTheFirstStepsOfEachGroup) {
  Batches batches(some_tokens(70), {.batch_size = 8}, {{60, 60}, {10, 10}});
  const std::vector<int64_t> found = batches.first_of_groups(3, 100);
  ASSERT_EQ(found.size(), 6u);  // the second group has two steps an epoch: one is of the next
  EXPECT_TRUE(std::ranges::is_sorted(found));
  std::vector<int64_t> left = {3, 3};
  for (int64_t step = 0; step <= found.back(); ++step) {
    int64_t& more = left[batches.examples(step)[0] < 60 ? 0 : 1];
    EXPECT_EQ(std::ranges::binary_search(found, step), more > 0) << step;
    if (more > 0) --more;
  }
  EXPECT_LE(batches.first_of_groups(3, 2).size(), 2u);  // of a training of two steps
  Batches one(some_tokens(70), {.batch_size = 8});
  EXPECT_EQ(one.first_of_groups(2, 9), (std::vector<int64_t>{0, 1}));
}

TEST(Batches, RefusesNoExamplesAndNoSize) {
  EXPECT_THROW(Batches({}, {}), Error);
  EXPECT_THROW(Batches({3}, {.batch_size = 0}), Error);
}

TEST(SplitByTokens, KeepsTheOrderWithinTheLimit) {
  const std::vector<int64_t> tokens = {1, 5, 20, 6, 1, 1}, examples = {5, 0, 2, 1, 3, 4};
  const auto parts = split_by_tokens(examples, tokens, 8);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(std::vector<int64_t>(parts[0].begin(), parts[0].end()), (std::vector<int64_t>{5, 0}));
  EXPECT_EQ(std::vector<int64_t>(parts[1].begin(), parts[1].end()), (std::vector<int64_t>{2}));
  EXPECT_EQ(std::vector<int64_t>(parts[2].begin(), parts[2].end()), (std::vector<int64_t>{1, 3, 4}));
  EXPECT_TRUE(split_by_tokens({}, tokens, 8).empty());
}

TEST(Shard, TheRanksShareAStepEvenly) {
  const std::vector<int64_t> examples = {9, 8, 7, 6, 5};
  EXPECT_EQ(shard(examples, 0, 2), (std::vector<int64_t>{9, 7, 5}));
  EXPECT_EQ(shard(examples, 1, 2), (std::vector<int64_t>{8, 6}));
  EXPECT_EQ(shard(examples, 0, 1), examples);
  EXPECT_TRUE(shard(examples, 6, 8).empty());
}

}  // namespace
}  // namespace penjing::train
