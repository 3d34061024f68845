#include "cli/memory_bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "base/aligned.h"
#include "kernels/cpu.h"

namespace penjing::cli {

namespace {

constexpr int64_t kMinBytes = int64_t{64} << 20, kMaxBytes = int64_t{256} << 20;
constexpr int64_t kPieceBytes = int64_t{1} << 20;  // long enough that the prefetchers run at full speed

// Eight independent sums, so that additions never wait for each other: the loop is as fast as its loads.
uint64_t sum_words(const uint64_t* words, int64_t count) {
  uint64_t sums[8] = {};
  for (int64_t i = 0; i < count; i += 8) {
    for (int lane = 0; lane < 8; ++lane) sums[lane] += words[i + lane];
  }
  uint64_t sum = 0;
  for (const uint64_t part : sums) sum += part;
  return sum;
}

}  // namespace

double measure_bandwidth(ThreadPool& pool) {
  using Clock = std::chrono::steady_clock;
  // A shared machine reports the whole socket's cache, of which a process gets a part: 256 MB bounds the
  // time.
  const int64_t bytes =
      std::clamp(read_cpu_info().l3_bytes * 4, kMinBytes, kMaxBytes) / kPieceBytes * kPieceBytes;
  constexpr int64_t kPieceWords = kPieceBytes / static_cast<int64_t>(sizeof(uint64_t));
  AlignedBuffer<uint64_t> words(static_cast<std::size_t>(bytes) / sizeof(uint64_t));
  std::fill(words.begin(), words.end(), uint64_t{1});
  std::atomic<uint64_t> seen{0};
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const auto begin = Clock::now();
    pool.parallel_for(bytes / kPieceBytes, [&](int64_t piece, int) {
      seen.fetch_add(sum_words(words.data() + piece * kPieceWords, kPieceWords), std::memory_order_relaxed);
    });
    best = std::max(best,
                    static_cast<double>(bytes) / std::chrono::duration<double>(Clock::now() - begin).count());
  }
  // Uses the sums, so that the reads are not optimised away.
  return seen.load() == 0 ? 0 : best;
}

}  // namespace penjing::cli
