// Text -> ids alone: how many bytes and texts a second, best of several rounds over a file of
// texts, a text a line.
//
// usage: tokenizer_bench MODEL-FOLDER TEXTS [--rounds 5] [--places] [--threads 1] [--load]
//   --places  with offsets, words and masks, as `penjing tokenize` gives them
//   --threads share the texts out among so many
//   --load    times the reading of the tokenizer's files as well
// Prints one line of JSON.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/thread_pool.h"
#include "text/tokenizer.h"

namespace {

using penjing::EncodeOptions;
using penjing::Error;
using penjing::Tokenizer;

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int run(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(
        stderr, "usage: tokenizer_bench MODEL-FOLDER TEXTS [--rounds N] [--places] [--threads N] [--load]\n");
    return 2;
  }
  int rounds = 5, threads = 1;
  bool places = false, load = false;
  for (int i = 3; i < argc; ++i) {
    const std::string_view argument = argv[i];
    places = places || argument == "--places";
    load = load || argument == "--load";
    if (argument == "--threads" && i + 1 < argc) threads = std::max(1, std::atoi(argv[++i]));
    if (argument == "--rounds" && i + 1 < argc) rounds = std::max(1, std::atoi(argv[++i]));
  }
  const std::string content = penjing::read_text_file(argv[2], std::size_t{1} << 30);
  std::vector<std::string> texts;
  std::size_t bytes = 0;
  for (std::size_t at = 0; at < content.size();) {
    const std::size_t end = std::min(content.find('\n', at), content.size());
    texts.push_back(content.substr(at, end - at));
    bytes += end - at;
    at = end + 1;
  }
  double best_load = 1e9;
  for (int round = 0; load && round < rounds; ++round) {
    const double begin = seconds();
    (void)Tokenizer::load(argv[1]);
    best_load = std::min(best_load, seconds() - begin);
  }
  const auto tokenizer = Tokenizer::load(argv[1]);
  penjing::ThreadPool pool(threads);
  EncodeOptions how;
  how.ids_only = !places;
  double best = 1e9;
  std::size_t ids = 0;
  for (int round = 0; round < rounds; ++round) {
    ids = 0;
    const double begin = seconds();
    for (const auto& encoding : encode_all(*tokenizer, pool, texts, how)) ids += encoding.ids.size();
    best = std::min(best, seconds() - begin);
  }
  fmt::print("{{\"texts\": {}, \"bytes\": {}, \"ids\": {}, \"seconds\": {:.6f}, \"mb_per_s\": {:.2f}",
             texts.size(), bytes, ids, best, static_cast<double>(bytes) / best / 1e6);
  if (load) fmt::print(", \"load_ms\": {:.3f}", best_load * 1e3);
  fmt::print("}}\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
