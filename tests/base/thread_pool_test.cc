#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/cpu_quota.h"

namespace penjing {
namespace {

TEST(ThreadPool, EveryChunkRunsOnce) {
  for (const int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    ASSERT_EQ(pool.num_threads(), threads);
    for (int64_t chunks = 0; chunks < 40; ++chunks) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(chunks));
      std::atomic<bool> in_range{true};
      pool.parallel_for(chunks, [&](int64_t chunk, int thread) {
        ++runs[static_cast<std::size_t>(chunk)];
        if (thread < 0 || thread >= threads) in_range = false;
      });
      EXPECT_TRUE(in_range);
      for (const auto& count : runs) EXPECT_EQ(count, 1);
    }
  }
}

TEST(ThreadPool, OneThreadIndexIsNeverUsedTwiceAtOnce) {
  ThreadPool pool(3);
  std::vector<std::atomic<int>> busy(3);
  std::atomic<bool> clash{false};
  for (int round = 0; round < 200; ++round) {
    pool.parallel_for(30, [&](int64_t, int thread) {
      auto& mine = busy[static_cast<std::size_t>(thread)];
      if (mine.fetch_add(1) != 0) clash = true;
      mine.fetch_sub(1);
    });
  }
  EXPECT_FALSE(clash);
}

TEST(ThreadPool, ExceptionsComeOutAndThePoolLivesOn) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 50; ++round) {
      EXPECT_THROW(pool.parallel_for(20,
                                     [&](int64_t chunk, int) {
                                       if (chunk == round % 20) throw std::runtime_error("chunk");
                                     }),
                   std::runtime_error);
      std::atomic<int> done{0};
      pool.parallel_for(20, [&](int64_t, int) { ++done; });
      EXPECT_EQ(done, 20);
    }
  }
}

TEST(ThreadPool, NestedCallsRunInPlace) {
  ThreadPool pool(3);
  std::atomic<int> done{0};
  std::atomic<bool> moved{false};
  pool.parallel_for(8, [&](int64_t, int) {
    const auto outer = std::this_thread::get_id();
    pool.parallel_for(5, [&](int64_t, int) {
      if (std::this_thread::get_id() != outer) moved = true;
      ++done;
    });
  });
  EXPECT_EQ(done, 40);
  EXPECT_FALSE(moved);
}

TEST(ThreadPool, SeveralOutsideThreadsTakeTurns) {
  ThreadPool pool(2);
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 100; ++round) {
        pool.parallel_for(10, [&](int64_t chunk, int) { sum += chunk; });
      }
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(sum, 4 * 100 * 45);
}

TEST(CpuQuota, Version2) {
  EXPECT_EQ(parse_cpu_max("150000 100000\n"), 2);
  EXPECT_EQ(parse_cpu_max("100000 100000"), 1);
  EXPECT_EQ(parse_cpu_max("1000 100000\n"), 1);
  EXPECT_EQ(parse_cpu_max("400000 100000\n"), 4);
  for (const char* text : {"", "max", "max 100000\n", "0 100000", "-1 100000", "100000", "100000 0", "x y",
                           "1e5 100000", "99999999999999999999 100000"}) {
    EXPECT_EQ(parse_cpu_max(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_cpu_max("9223372036854775807 1"), 1 << 16);
}

TEST(CpuQuota, Version1) {
  EXPECT_EQ(parse_cfs_quota("250000\n", "100000\n"), 3);
  for (const auto& [quota, period] : {std::pair<const char*, const char*>{"-1\n", "100000\n"},
                                      {"", ""},
                                      {"0", "100000"},
                                      {"100000", "0"},
                                      {"100000", ""},
                                      {"a", "b"}}) {
    EXPECT_EQ(parse_cfs_quota(quota, period), std::nullopt) << quota;
  }
  EXPECT_GE(available_cpus(), 1);
}

}  // namespace
}  // namespace penjing
