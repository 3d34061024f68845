// Memory over long use: batches of random sizes and lengths for as long as asked, in two sessions that share
// weights and pool, some of their rows compared bit for bit with the same text alone. What the process holds
// is printed as it goes: after the largest batches have been seen it must not grow.
//
// usage: soak_bench MODEL-FOLDER [--minutes 10] [--threads 0] [--seed 1]
// Status 1 when a row differs, or when memory at the end exceeds that of the first tenth by more than 5 %.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "base/thread_pool.h"
#include "io/model_folder.h"
#include "runtime/engine.h"

namespace penjing {
namespace {

double minutes_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count() / 60;
}

// Resident memory without the pages of files, which any process may share and the system may drop.
double resident_mb() {
  std::ifstream status("/proc/self/status");
  double kb = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) kb = std::atof(line.c_str() + 8);
  }
  return kb / 1e3;
}

// Mostly a few short texts, sometimes many, sometimes as long as the model takes.
RaggedBatch draw(Rng& rng, int64_t max_length, int64_t vocabulary) {
  RaggedBatch texts;
  std::vector<int32_t> ids;
  const double kind = rng.uniform();
  const int64_t rows = kind < 0.8 ? 1 + rng.below(8) : kind < 0.99 ? 1 + rng.below(64) : 256;
  const double typical = kind < 0.99 ? 3.2 : 4.5;
  for (int64_t i = 0; i < rows; ++i) {
    const auto length = static_cast<int64_t>(std::exp(typical + 0.9 * rng.normal()));
    ids.resize(static_cast<std::size_t>(std::clamp<int64_t>(length, 1, max_length)));
    for (int32_t& id : ids) id = static_cast<int32_t>(rng.below(static_cast<uint32_t>(vocabulary)));
    texts.append(ids);
  }
  return texts;
}

struct Outcome {
  int64_t forwards = 0, tokens = 0, compared = 0, different = 0;
};

void work(Predictor& session, Predictor& alone, OutputKind kind, uint64_t seed, double until,
          Outcome& outcome) {
  Rng rng(seed);
  while (minutes_now() < until) {
    const RaggedBatch texts = draw(rng, session.max_length(), session.vocab_size());
    const Prediction all = session.predict(texts, {.kind = kind});
    outcome.forwards += 1;
    outcome.tokens += texts.num_tokens();
    if (outcome.forwards % 50 != 0) continue;
    const auto row = static_cast<std::size_t>(rng.below(static_cast<uint32_t>(texts.offsets.size() - 1)));
    RaggedBatch one;
    one.append({texts.ids.data() + texts.offsets[row],
                static_cast<std::size_t>(texts.length(static_cast<int64_t>(row)))});
    const Prediction single = alone.predict(one, {.kind = kind});
    const float* wanted = all.values.data() + all.row_offsets[row] * all.dim;
    outcome.compared += 1;
    outcome.different += std::memcmp(wanted, single.values.data(), single.values.size() * sizeof(float)) != 0;
  }
}

int run(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: soak_bench MODEL-FOLDER [--minutes N] [--threads N] [--seed N]\n");
    return 2;
  }
  double minutes = 10;
  int threads = 0;
  uint64_t seed = 1;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option == "--minutes") minutes = std::atof(argv[i + 1]);
    if (option == "--threads") threads = std::atoi(argv[i + 1]);
    if (option == "--seed") seed = static_cast<uint64_t>(std::atoll(argv[i + 1]));
  }
  const auto pool = std::make_shared<ThreadPool>(threads);
  const auto engine = Engine::build(read_model(resolve_model(argv[1])));
  constexpr int kSessions = 2;
  std::unique_ptr<Predictor> sessions[kSessions], alone[kSessions];
  for (auto& session : sessions) session = engine->new_session(pool);
  for (auto& session : alone) session = engine->new_session(pool);
  const OutputKind kind =
      sessions[0]->supports(OutputKind::kEmbedding) ? OutputKind::kEmbedding : OutputKind::kHidden;
  Outcome outcomes[kSessions];
  const double begin = minutes_now();
  std::vector<std::thread> workers;
  for (int i = 0; i < kSessions; ++i) {
    workers.emplace_back([&, i] {
      work(*sessions[i], *alone[i], kind, seed + static_cast<uint64_t>(i), begin + minutes, outcomes[i]);
    });
  }
  double early = 0, late = 0;
  for (int tenth = 1; tenth <= 10; ++tenth) {
    while (minutes_now() < begin + minutes * tenth / 10)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    late = resident_mb();
    if (tenth == 1) early = late;
    std::printf("%5.1f minutes: %.1f MB of its own\n", minutes * tenth / 10, late);
    std::fflush(stdout);
  }
  for (std::thread& worker : workers) worker.join();
  Outcome sum;
  for (const Outcome& one : outcomes) {
    sum.forwards += one.forwards;
    sum.tokens += one.tokens;
    sum.compared += one.compared;
    sum.different += one.different;
  }
  std::printf("%lld forwards, %lld tokens; %lld rows compared with the same text alone, %lld differ\n",
              static_cast<long long>(sum.forwards), static_cast<long long>(sum.tokens),
              static_cast<long long>(sum.compared), static_cast<long long>(sum.different));
  return sum.different != 0 || late > 1.05 * early ? 1 : 0;
}

}  // namespace
}  // namespace penjing

int main(int argc, char** argv) {
  try {
    return penjing::run(argc, argv);
  } catch (const penjing::Error& error) {
    std::fprintf(stderr, "soak_bench: %s\n", error.what());
    return 2;
  }
}
