#include "train/gradient_buckets.h"

#include <gtest/gtest.h>

namespace penjing::train {
namespace {

TEST(GradientBuckets, FromTheLastParameterToTheFirst) {
  const std::vector<int64_t> sizes = {100, 3, 0, 16, 40};
  const auto buckets = lay_out_buckets(sizes, 4 * 50);  // full at 50 numbers
  ASSERT_EQ(buckets.size(), 2u);
  ASSERT_EQ(buckets[0].slots.size(), 2u);
  EXPECT_EQ(buckets[0].slots[0].parameter, 4u);
  EXPECT_EQ(buckets[0].slots[0].begin, 0);
  EXPECT_EQ(buckets[0].slots[1].parameter, 3u);
  EXPECT_EQ(buckets[0].slots[1].begin, 48);  // the next multiple of 16
  EXPECT_EQ(buckets[0].size, 64);
  ASSERT_EQ(buckets[1].slots.size(), 2u);
  EXPECT_EQ(buckets[1].slots[0].parameter, 1u);
  EXPECT_EQ(buckets[1].slots[1].parameter, 0u);
  EXPECT_EQ(buckets[1].slots[1].begin, 16);
  EXPECT_EQ(buckets[1].size, 16 + 112);
}

TEST(GradientBuckets, NothingToSend) {
  EXPECT_TRUE(lay_out_buckets(std::vector<int64_t>{0, 0}, 1).empty());
}

}  // namespace
}  // namespace penjing::train
