// bench: how fast a model runs here, beside another if asked, as ratios of interleaved rounds.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <map>
#include <numeric>
#include <optional>

#include "base/aligned.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/rng.h"
#include "base/text_table.h"
#include "cli/loaded_model.h"
#include "eval/statistics.h"
#include "kernels/cpu.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_i8/gemm_i8.h"
#include "model/cost.h"

namespace penjing::cli {

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string model, against, shapes = "1x16,1x128,32xvar";
  int rounds = 15;
  double seconds = 0.2;
  bool no_cold_start = false, once = false;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "the model to time")->required();
  app.add_option("--against", options.against, "another model, timed in turn; the verdict compares with it");
  app.add_option("--shapes", options.shapes, "sequences x tokens, or 'var' for mixed lengths of 5 to 256")
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "rounds a shape, the models in turn")
      ->capture_default_str()
      ->check(CLI::Range(3, 1000));
  app.add_option("--seconds", options.seconds, "time a round and model")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 60.0));
  app.add_flag("--no-cold-start", options.no_cold_start, "do not measure start to first result");
  app.add_flag("--once", options.once, "run one short sequence and stop (what the cold start measures)")
      ->group("");
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Shape {
  std::string name;
  std::vector<int64_t> lengths;
};

// Lengths of "var": log-normal(3.2, 0.7) clipped to 5..256, the mix of rivals.py, from our own generator.
Shape parse_shape(const std::string& text, int64_t longest) {
  Shape shape{text, {}};
  const auto x = text.find('x');
  int count = 0;
  if (x != std::string::npos) count = std::atoi(text.substr(0, x).c_str());
  const std::string rest = x == std::string::npos ? "" : text.substr(x + 1);
  const int length = rest == "var" ? 0 : std::atoi(rest.c_str());
  if (count < 1 || count > 4096 || (rest != "var" && length < 2)) {
    fail(ErrorKind::kInput, "--shapes: \"{}\"; wanted SEQUENCESxTOKENS, for example 1x128 or 32xvar", text);
  }
  Rng rng(1);
  for (int i = 0; i < count; ++i) {
    const double drawn = std::exp(3.2 + 0.7 * rng.normal());
    shape.lengths.push_back(length > 0 ? length : static_cast<int64_t>(std::clamp(drawn, 5.0, 256.0)));
  }
  for (const int64_t n : shape.lengths) {
    if (n > longest)
      fail(ErrorKind::kInput, "--shapes: \"{}\": the model takes at most {} tokens", text, longest);
  }
  return shape;
}

// A text that has exactly `length` tokens: common words of the model's vocabulary, so that tokenizing is real
// work.
std::string text_of_length(int64_t length, const std::vector<std::string>& words, Rng& rng) {
  std::string text;
  for (int64_t i = 0; i < length; ++i) text += (i > 0 ? " " : "") + words[rng.below(words.size())];
  return text;
}

// Words that the tokenizer keeps whole: common English ones, else those of its vocabulary.
std::vector<std::string> find_whole_words(const Tokenizer& tokenizer) {
  EncodeOptions bare;
  bare.add_special_tokens = false;
  const auto whole = [&](const std::string& word) {
    const Encoding encoding = tokenizer.encode(word, bare);
    return encoding.ids.size() == 1 && encoding.ids[0] != tokenizer.unk_id();
  };
  std::vector<std::string> words;
  for (const char* word :
       {"the",   "tree",  "of",  "a",    "small", "garden", "is",   "in",   "water", "and",
        "light", "grows", "old", "with", "stone", "time",   "from", "hand", "house", "year"}) {
    if (whole(word)) words.emplace_back(word);
  }
  for (int32_t id = 0; words.size() < 8 && id < tokenizer.vocab_size(); ++id) {
    const std::string& token = tokenizer.token(id);
    const bool letters = !token.empty() &&
                         std::all_of(token.begin(), token.end(), [](char c) { return c >= 'a' && c <= 'z'; });
    if (letters && whole(token)) words.push_back(token);
  }
  return words;
}

struct Contender {
  std::string name;
  LoadedModel loaded;
  OutputKind kind = OutputKind::kHidden;
  bool quantized = false;
};

Contender load_contender(const std::string& name, const CommonOptions& common,
                         std::shared_ptr<ThreadPool> pool) {
  Contender c{name, load_model(name, common, {}, std::move(pool)), OutputKind::kHidden, false};
  for (const OutputKind kind : {OutputKind::kEmbedding, OutputKind::kClassLogits, OutputKind::kTokenLogits,
                                OutputKind::kSpanLogits}) {
    if (c.loaded.predictor->supports(kind)) {
      c.kind = kind;
      break;
    }
  }
  const Json* scheme = c.loaded.model.config.find("quantization_config");
  c.quantized = scheme != nullptr && !scheme->is_null();
  return c;
}

// Work of one shape for one model: the texts, their encodings and the packed batch.
struct Work {
  std::vector<std::string> texts;
  RaggedBatch batch;
};
Work make_work(const Contender& c, const Shape& shape) {
  Work work;
  Rng rng(2);
  const auto words = find_whole_words(*c.loaded.tokenizer);
  if (words.empty())
    fail(ErrorKind::kUnsupported, "{}: the tokenizer keeps no English word whole to make texts of", c.name);
  const auto added = static_cast<int64_t>(c.loaded.tokenizer->encode("").ids.size());
  for (const int64_t length : shape.lengths) {
    if (length < added)
      fail(ErrorKind::kInput, "--shapes: {} tokens; the special tokens alone are {}", length, added);
    work.texts.push_back(text_of_length(length - added, words, rng));
    const Encoding encoding = c.loaded.tokenizer->encode(work.texts.back());
    if (static_cast<int64_t>(encoding.ids.size()) != length) {
      fail(ErrorKind::kInternal, "a text of {} tokens was wanted, {} came out", length, encoding.ids.size());
    }
    work.batch.append(encoding.ids, encoding.type_ids);
  }
  return work;
}

void run_batch(Contender& c, const RaggedBatch& batch) {
  Request request;
  request.kind = c.kind;
  (void)c.loaded.predictor->predict(batch, request);
}

void run_texts(Contender& c, const Work& work) {
  RaggedBatch batch;
  for (const auto& text : work.texts) {
    const Encoding encoding = c.loaded.tokenizer->encode(text);
    batch.append(encoding.ids, encoding.type_ids);
  }
  run_batch(c, batch);
}

// Every single run's time, until the round's time is over.
template <typename Body>
std::vector<double> time_round(Body body) {
  std::vector<double> times;
  const auto start = Clock::now();
  do {
    const auto begin = Clock::now();
    body();
    times.push_back(seconds_since(begin) * 1e3);
  } while (seconds_since(start) < options.seconds && times.size() < 100000);
  return times;
}

// Peak of the machine in this run: the product kernel on operands that stay in L1 and L2, on every thread of
// the pool.
double measure_peak(ThreadPool& pool, bool integer) {
  constexpr int64_t kK = 256, kN = 48;
  constexpr int kWidth = 64;
  double best = 0;
  std::vector<float> w(kN * kK, 0.5f);
  std::vector<int8_t> w8(kN * kK, 3);
  const auto& f32 = gemm_f32::select();
  const auto& i8 = gemm_i8::select();
  AlignedBuffer<std::byte> packed(integer ? i8.packed_bytes(kN, kK) : f32.packed_bytes(kN, kK));
  if (integer) {
    i8.pack(w8.data(), kN, kK, packed.data());
  } else {
    f32.pack(w.data(), kN, kK, packed.data());
  }
  struct Scratch {
    AlignedBuffer<float> x{kK * kWidth}, y{kN * kWidth}, scale{kN + kWidth};
    AlignedBuffer<uint8_t> codes{kK * kWidth};
    AlignedBuffer<int32_t> zero{kN + kWidth};
  };
  std::vector<Scratch> scratch(static_cast<std::size_t>(pool.num_threads()));
  for (auto& s : scratch)
    std::fill(s.x.begin(), s.x.end(), 0.25f), std::fill(s.codes.begin(), s.codes.end(), uint8_t{7});
  constexpr int kRepeats = 200;
  for (int round = 0; round < 12; ++round) {
    const auto begin = Clock::now();
    pool.parallel_for(pool.num_threads() * 4, [&](int64_t, int thread) {
      Scratch& s = scratch[static_cast<std::size_t>(thread)];
      for (int i = 0; i < kRepeats; ++i) {
        if (integer) {
          i8.run({s.codes.data(), s.scale.data(), s.zero.data(), packed.data(), s.scale.data(), s.zero.data(),
                  nullptr, nullptr, s.y.data(), kK, 0, kN, kWidth});
        } else {
          f32.run({s.x.data(), packed.data(), nullptr, nullptr, s.y.data(), kK, 0, kN, kWidth});
        }
      }
    });
    const double work = 2.0 * kK * kN * kWidth * kRepeats * pool.num_threads() * 4;
    best = std::max(best, work / seconds_since(begin));
  }
  return best;
}

// exec to first result of this program itself, in milliseconds; nullopt when it cannot be run.
std::optional<double> measure_cold_start(const std::string& model, int threads) {
  char self[4096];
  const ssize_t size = ::readlink("/proc/self/exe", self, sizeof self - 1);
  if (size <= 0) return std::nullopt;
  self[size] = '\0';
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) {
    const auto begin = Clock::now();
    const pid_t child = ::fork();
    if (child == 0) {
      const std::string count = std::to_string(threads);
      ::execl(self, self, "bench", model.c_str(), "--once", "--quiet", "--threads", count.c_str(), nullptr);
      ::_exit(127);
    }
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0) return std::nullopt;
    times.push_back(seconds_since(begin) * 1e3);
  }
  return *std::min_element(times.begin(), times.end());
}

double flops_of(const Description& d, const Shape& shape) {
  double flops = 0;
  for (const int64_t length : shape.lengths) {
    for (const PartCost& part : measure_cost(d, length)) {
      if (part.part != "pooler" && part.part != "heads") flops += static_cast<double>(part.flops);
    }
  }
  return flops;
}

// The sentence people read: what the ratio means, and why there may be none.
std::string verdict(double ratio, Interval interval, bool quantized) {
  const std::string range = fmt::format("95 % interval {:.2f} to {:.2f}", interval.low, interval.high);
  if (interval.low > 1.02) return fmt::format("{:.2f}x faster, {}", ratio, range);
  if (interval.high < 0.98) return fmt::format("{:.2f}x slower, {}", 1 / ratio, range);
  const bool vnni = cpu_has(Isa::kAvx512Vnni);
  return fmt::format("no gain on this CPU{}: {:.2f}x, {}", quantized && !vnni ? ": no VNNI" : "", ratio,
                     range);
}

struct Row {
  std::string shape, model, tokenized;
  std::vector<double> medians;  // a round's median
  double best = 0, median = 0, p99 = 0, tokens_per_s = 0, peak_share = 0;
};

Row summarize(const std::vector<std::vector<double>>& rounds, int64_t tokens, double flops, double peak) {
  Row row;
  std::vector<double> all;
  for (const auto& round : rounds) {
    row.medians.push_back(quantile(round, 0.5));
    all.insert(all.end(), round.begin(), round.end());
  }
  row.best = *std::min_element(all.begin(), all.end());
  row.median = quantile(all, 0.5);
  row.p99 = quantile(all, 0.99);
  row.tokens_per_s = static_cast<double>(tokens) / row.median * 1e3;
  row.peak_share = flops / (row.best * 1e-3) / peak;
  return row;
}

int run(const CommonOptions& common) {
  const auto pool = std::make_shared<ThreadPool>(common.threads);
  if (options.once) {
    Contender c = load_contender(options.model, common, pool);
    run_texts(c, make_work(c, {"1x16", {16}}));
    return kDone;
  }
  std::vector<Contender> contenders;
  contenders.push_back(load_contender(options.model, common, pool));
  if (!options.against.empty()) contenders.push_back(load_contender(options.against, common, pool));
  int64_t longest = contenders[0].loaded.predictor->max_length();
  for (const auto& c : contenders) longest = std::min(longest, c.loaded.predictor->max_length());
  std::vector<Shape> shapes;
  for (std::size_t at = 0; at <= options.shapes.size();) {
    const std::size_t comma = std::min(options.shapes.find(',', at), options.shapes.size());
    shapes.push_back(parse_shape(options.shapes.substr(at, comma - at), longest));
    at = comma + 1;
  }
  const double peak_f32 = measure_peak(*pool, false), peak_i8 = measure_peak(*pool, true);
  const CpuInfo cpu = read_cpu_info();
  Json machine = Json::object({{"cpu", cpu.model},
                               {"features", cpu.features},
                               {"isa", name_of(isa_limit())},
                               {"threads", pool->num_threads()},
                               {"peak_fp32_gflops", peak_f32 * 1e-9},
                               {"peak_int8_gops", peak_i8 * 1e-9}});
  Json rows = Json::array(), verdicts = Json::array();
  TextTable table({"shape", "model", "", "best ms", "median", "p99", "tokens/s", "of peak"}, "lllrrrrr");
  Progress progress("bench", static_cast<int64_t>(shapes.size()) * options.rounds, "rounds");
  for (const Shape& shape : shapes) {
    const int64_t tokens = std::accumulate(shape.lengths.begin(), shape.lengths.end(), int64_t{0});
    std::vector<Work> works;
    for (auto& c : contenders) {
      works.push_back(make_work(c, shape));
      run_batch(c, works.back().batch);
    }
    std::vector<std::vector<std::vector<double>>> plain(contenders.size()), whole(contenders.size());
    for (int round = 0; round < options.rounds; ++round) {
      check_interrupt();
      for (std::size_t i = 0; i < contenders.size(); ++i) {
        plain[i].push_back(time_round([&] { run_batch(contenders[i], works[i].batch); }));
        whole[i].push_back(time_round([&] { run_texts(contenders[i], works[i]); }));
      }
      progress.advance();
    }
    std::vector<Row> plain_rows;
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      const double peak = contenders[i].quantized ? peak_i8 : peak_f32;
      const double flops = flops_of(contenders[i].loaded.model.description, shape);
      for (const bool tokenized : {false, true}) {
        Row row = summarize(tokenized ? whole[i] : plain[i], tokens, flops, peak);
        rows.push_back(Json::object({{"shape", shape.name},
                                     {"model", contenders[i].name},
                                     {"with_tokenizing", tokenized},
                                     {"best_ms", row.best},
                                     {"median_ms", row.median},
                                     {"p99_ms", row.p99},
                                     {"tokens_per_s", row.tokens_per_s},
                                     {"peak_share", row.peak_share}}));
        table.add_row({shape.name, contenders[i].name, tokenized ? "with tokenizing" : "",
                       fmt::format("{:.2f}", row.best), fmt::format("{:.2f}", row.median),
                       fmt::format("{:.2f}", row.p99), fmt::format("{:.0f}", row.tokens_per_s),
                       tokenized ? "" : fmt::format("{:.0f} %", row.peak_share * 100)});
        if (!tokenized) plain_rows.push_back(std::move(row));
      }
    }
    if (contenders.size() == 2) {
      const double ratio = quantile(plain_rows[1].medians, 0.5) / quantile(plain_rows[0].medians, 0.5);
      const Interval interval = bootstrap_ratio(plain_rows[1].medians, plain_rows[0].medians, 1);
      verdicts.push_back(Json::object({{"shape", shape.name},
                                       {"speedup", ratio},
                                       {"low", interval.low},
                                       {"high", interval.high},
                                       {"verdict", verdict(ratio, interval, contenders[0].quantized)}}));
    }
  }
  Json starts = Json::array();
  if (!options.no_cold_start) {
    for (const auto& c : contenders) {
      if (const auto ms = measure_cold_start(c.name, pool->num_threads())) {
        starts.push_back(Json::object({{"model", c.name}, {"best_ms", *ms}}));
      }
    }
  }
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto peak_bytes = static_cast<int64_t>(usage.ru_maxrss) * 1024;
  if (common.json) {
    print_json(Json::object({{"machine", machine},
                             {"rows", rows},
                             {"verdicts", verdicts},
                             {"cold_start", starts},
                             {"peak_memory_bytes", peak_bytes}}));
    return kDone;
  }
  print_text(fmt::format("{}, {} threads, {}; peak in this run: {:.0f} GFLOP/s fp32, {:.0f} GOP/s int8\n",
                         cpu.model, pool->num_threads(), name_of(isa_limit()), peak_f32 * 1e-9,
                         peak_i8 * 1e-9));
  print_text(table.str());
  for (const Json& v : verdicts.as_array("")) {
    print_text(fmt::format("{}, against {}: {}\n", v.find("shape")->as_string(""), options.against,
                           v.find("verdict")->as_string("")));
  }
  for (const Json& start : starts.as_array("")) {
    print_text(fmt::format("start to first result: {} {:.0f} ms\n", start.find("model")->as_string(""),
                           start.find("best_ms")->as_double("")));
  }
  print_text(fmt::format("peak memory of this process: {}\n", format_bytes(static_cast<double>(peak_bytes))));
  return kDone;
}

}  // namespace

extern const Command bench_command;
const Command bench_command = {"bench", "how fast a model runs here, and whether the smaller one is faster",
                               "  penjing bench minilm-int8 --against minilm\n"
                               "  penjing bench minilm --shapes 1x16,8x128 --threads 1 --json",
                               declare, run};

}  // namespace penjing::cli
