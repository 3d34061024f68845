#include "base/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/thread_pool.h"

namespace penjing {
namespace {

// Known answers of Random123 (kat_vectors, philox4x32 with 10 rounds).
TEST(Rng, PhiloxKnownAnswers) {
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox4x32({ones, ones, ones, ones}, {ones, ones}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Rng, ADrawDependsOnItsPositionAlone) {
  Rng rng(11, 3);
  std::vector<uint64_t> draws(1000);
  for (auto& draw : draws) draw = rng.bits();
  Rng jump(11, 3);
  for (const std::size_t at : {std::size_t{999}, std::size_t{0}, std::size_t{500}, std::size_t{501}}) {
    jump.seek(at);
    EXPECT_EQ(jump.bits(), draws[at]) << at;
  }
  EXPECT_NE(Rng(11, 4).bits(), draws[0]);
  EXPECT_NE(Rng(12, 3).bits(), draws[0]);
}

TEST(Rng, TheSameStreamOnEveryThreadCount) {
  std::vector<uint64_t> wanted;
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    std::vector<uint64_t> found(512);
    pool.parallel_for(512, [&](int64_t i, int) {
      Rng rng(5);
      rng.seek(static_cast<uint64_t>(i));
      found[static_cast<std::size_t>(i)] = rng.bits();
    });
    if (wanted.empty()) wanted = found;
    EXPECT_EQ(found, wanted) << threads;
  }
}

TEST(Rng, Distributions) {
  Rng rng(1);
  constexpr int kDraws = 200000;
  double sum = 0, squares = 0, fourth = 0, uniform = 0;
  int counts[7] = {};
  for (int i = 0; i < kDraws; ++i) {
    const double x = rng.normal(), u = rng.uniform();
    sum += x, squares += x * x, fourth += x * x * x * x, uniform += u;
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    ++counts[rng.below(7)];
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.01);
  EXPECT_NEAR(squares / kDraws, 1, 0.02);
  EXPECT_NEAR(fourth / kDraws, 3, 0.1);
  EXPECT_NEAR(uniform / kDraws, 0.5, 0.003);
  for (const int count : counts) EXPECT_NEAR(count, kDraws / 7.0, 5 * std::sqrt(kDraws / 7.0));
  EXPECT_EQ(rng.below(1), 0u);
}

}  // namespace
}  // namespace penjing
