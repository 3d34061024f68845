// bench: how fast a model runs here, beside another if asked, as ratios of interleaved rounds.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "cli/bench_work.h"
#include "cli/bench_worker.h"
#include "cli/loaded_model.h"
#include "cli/machine_peak.h"
#include "eval/statistics.h"
#include "kernels/cpu.h"
#include "model/cost.h"

namespace penjing::cli {

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string model, against, shapes = "1x16,1x128,32xvar";
  int rounds = 15;
  double seconds = 0.2;
  bool no_cold_start = false, once = false, worker = false, rivals = false;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "the model to time")->required();
  app.add_option("--against", options.against, "another model, timed in turn; the verdict compares with it");
  app.add_option("--shapes", options.shapes,
                 "SEQUENCESxTOKENS, 'var' for mixed lengths of 5 to 256, or lengths: 12+40+7")
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "rounds a shape, the models in turn")
      ->capture_default_str()
      ->check(CLI::Range(3, 1000));
  app.add_option("--seconds", options.seconds, "time a round and model")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 60.0));
  app.add_flag("--no-cold-start", options.no_cold_start, "do not measure start to first result");
  app.add_flag(
      "--rivals", options.rivals,
      "beside ONNX Runtime, OpenVINO, CTranslate2 and PyTorch: installs them into the cache and takes "
      "minutes; --against is a second form of the model for Penjing. More: bench/compare_rivals.py --help");
  app.add_flag("--once", options.once, "run one short sequence and stop (what the cold start measures)")
      ->group("");
  app.add_flag("--worker", options.worker, "answer requests on standard input (cli/bench_worker.h)")
      ->group("");
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Contender {
  std::string name;
  LoadedModel loaded;
  OutputKind kind = OutputKind::kHidden;
  bool quantized = false;
  ProductKind products;  // of most operations
};

Contender load_contender(const std::string& name, const CommonOptions& common,
                         std::shared_ptr<ThreadPool> pool) {
  Contender c{name, load_model(name, common, {}, std::move(pool)), OutputKind::kHidden, false, {}};
  for (const OutputKind kind : {OutputKind::kEmbedding, OutputKind::kClassLogits, OutputKind::kTokenLogits,
                                OutputKind::kSpanLogits}) {
    if (c.loaded.predictor->supports(kind)) {
      c.kind = kind;
      break;
    }
  }
  const Json* scheme = c.loaded.model.config.find("quantization_config");
  c.quantized = scheme != nullptr && !scheme->is_null();
  if (const auto kinds = c.loaded.engine->product_kinds(); !kinds.empty()) c.products = kinds.front();
  return c;
}

void run_batch(Contender& c, const RaggedBatch& batch) {
  Request request;
  request.kind = c.kind;
  (void)c.loaded.predictor->predict(batch, request);
}

void run_texts(Contender& c, const Work& work) {
  RaggedBatch batch;
  EncodeOptions how;
  how.ids_only = true;
  for (const auto& text : work.texts) {
    const Encoding encoding = c.loaded.tokenizer->encode(text, how);
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

std::string own_path() {
  char self[4096];
  const ssize_t size = ::readlink("/proc/self/exe", self, sizeof self);
  return size <= 0 || size == sizeof self ? "" : std::string(self, static_cast<std::size_t>(size));
}

// Becomes bench/compare_rivals.py, which lies in the source tree or was installed beside the program.
[[noreturn]] void run_rivals(int threads) {
  const std::string self = own_path();
  const auto folder = std::filesystem::path(self).parent_path();
  std::string script;
  for (const char* place : {"../share/penjing/bench", "../../bench"}) {
    const auto candidate = folder / place / "compare_rivals.py";
    std::error_code error;
    if (std::filesystem::exists(candidate, error)) script = candidate.lexically_normal().string();
  }
  if (script.empty())
    fail(ErrorKind::kInput,
         "--rivals needs bench/compare_rivals.py of the source tree, or an installed Penjing");
  std::vector<std::string> words = {"python3",      script,      options.model,
                                    "--penjing",    self,        "--shapes",
                                    options.shapes, "--threads", std::to_string(threads)};
  if (!options.against.empty()) words.insert(words.end(), {"--ours", "against=" + options.against});
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  fail(ErrorKind::kIo, "python3 cannot be run: {}", std::strerror(errno));
}

// exec to first result of this program itself, in milliseconds; nullopt when it cannot be run.
std::optional<double> measure_cold_start(const std::string& model, int threads) {
  const std::string self = own_path();
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) {
    const auto begin = Clock::now();
    const pid_t child = ::fork();
    if (child == 0) {
      const std::string count = std::to_string(threads);
      ::execl(self.c_str(), self.c_str(), "bench", model.c_str(), "--once", "--quiet", "--threads",
              count.c_str(), nullptr);
      ::_exit(127);
    }
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0) return std::nullopt;
    times.push_back(seconds_since(begin) * 1e3);
  }
  return *std::min_element(times.begin(), times.end());
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

struct Peaks {
  double f32, bf16, i8;
};

// One shape: rounds in turn for every contender, with and without tokenizing.
struct ShapeReport {
  std::vector<Row> plain, tokenized;  // one for each contender
};

ShapeReport time_shape(std::vector<Contender>& contenders, const Shape& shape, const Peaks& peaks,
                       Progress& progress) {
  std::vector<Work> works;
  for (auto& c : contenders) {
    works.push_back(make_work(c.name, *c.loaded.tokenizer, shape));
    run_batch(c, works.back().batch);
  }
  using Rounds = std::vector<std::vector<double>>;
  std::vector<Rounds> plain(contenders.size()), tokenized(contenders.size());
  for (int round = 0; round < options.rounds; ++round) {
    check_interrupt();
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      plain[i].push_back(time_round([&] { run_batch(contenders[i], works[i].batch); }));
      tokenized[i].push_back(time_round([&] { run_texts(contenders[i], works[i]); }));
    }
    progress.advance();
  }
  ShapeReport report;
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    const Arithmetic arithmetic = contenders[i].products.arithmetic;
    const double peak = arithmetic == Arithmetic::kI8     ? peaks.i8
                        : arithmetic == Arithmetic::kBf16 ? peaks.bf16
                                                          : peaks.f32;
    const double flops = flops_of(contenders[i].loaded.model.description, shape.lengths);
    report.plain.push_back(summarize(plain[i], shape.tokens(), flops, peak));
    report.tokenized.push_back(summarize(tokenized[i], shape.tokens(), flops, peak));
  }
  return report;
}

Json to_json(const Row& row, const Shape& shape, const std::string& model, bool tokenized) {
  return Json::object({{"shape", shape.name},
                       {"model", model},
                       {"with_tokenizing", tokenized},
                       {"best_ms", row.best},
                       {"median_ms", row.median},
                       {"p99_ms", row.p99},
                       {"tokens_per_s", row.tokens_per_s},
                       {"peak_share", row.peak_share}});
}

void add_to_table(TextTable& table, const Row& row, const Shape& shape, const std::string& model,
                  bool tokenized) {
  table.add_row({shape.name, model, tokenized ? "with tokenizing" : "", fmt::format("{:.2f}", row.best),
                 fmt::format("{:.2f}", row.median), fmt::format("{:.2f}", row.p99),
                 fmt::format("{:.0f}", row.tokens_per_s),
                 tokenized ? "" : fmt::format("{:.0f} %", row.peak_share * 100)});
}

Json compare(const Shape& shape, const Row& row, const Row& other, bool quantized) {
  const double ratio = quantile(other.medians, 0.5) / quantile(row.medians, 0.5);
  const Interval interval = bootstrap_ratio(other.medians, row.medians, 1);
  return Json::object({{"shape", shape.name},
                       {"speedup", ratio},
                       {"low", interval.low},
                       {"high", interval.high},
                       {"verdict", verdict(ratio, interval, quantized)}});
}

int64_t peak_memory_bytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

int run(const CommonOptions& common) {
  if (options.rivals) run_rivals(common.threads > 0 ? common.threads : available_cpus());
  const auto pool = std::make_shared<ThreadPool>(common.threads);
  if (options.once) {
    Contender c = load_contender(options.model, common, pool);
    run_texts(c, make_work(c.name, *c.loaded.tokenizer, {"1x16", {16}}));
    return kDone;
  }
  if (options.worker) {
    Contender c = load_contender(options.model, common, pool);
    run_bench_worker(c.loaded);
    return kDone;
  }
  std::vector<Contender> contenders;
  contenders.push_back(load_contender(options.model, common, pool));
  if (!options.against.empty()) contenders.push_back(load_contender(options.against, common, pool));
  int64_t longest = contenders[0].loaded.predictor->max_length();
  for (const auto& c : contenders) longest = std::min(longest, c.loaded.predictor->max_length());
  const std::vector<Shape> shapes = parse_shapes(options.shapes, longest);
  const Peaks peaks{measure_peak(*pool, PeakKind::kFloat), measure_peak(*pool, PeakKind::kBfloat),
                    measure_peak(*pool, PeakKind::kInteger)};
  const CpuInfo cpu = read_cpu_info();

  Json rows = Json::array(), verdicts = Json::array(), starts = Json::array();
  TextTable table({"shape", "model", "", "best ms", "median", "p99", "tokens/s", "of peak"}, "lllrrrrr");
  Progress progress("bench", static_cast<int64_t>(shapes.size()) * options.rounds, "rounds");
  for (const Shape& shape : shapes) {
    const ShapeReport report = time_shape(contenders, shape, peaks, progress);
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      for (const bool tokenized : {false, true}) {
        const Row& row = tokenized ? report.tokenized[i] : report.plain[i];
        rows.push_back(to_json(row, shape, contenders[i].name, tokenized));
        add_to_table(table, row, shape, contenders[i].name, tokenized);
      }
    }
    if (contenders.size() == 2) {
      verdicts.push_back(compare(shape, report.plain[0], report.plain[1], contenders[0].quantized));
    }
  }
  if (!options.no_cold_start) {
    for (const auto& c : contenders) {
      if (const auto ms = measure_cold_start(c.name, pool->num_threads())) {
        starts.push_back(Json::object({{"model", c.name}, {"best_ms", *ms}}));
      }
    }
  }
  if (common.json) {
    print_json(Json::object({{"machine", Json::object({{"cpu", cpu.model},
                                                       {"features", cpu.features},
                                                       {"isa", name_of(isa_limit())},
                                                       {"threads", pool->num_threads()},
                                                       {"peak_fp32_gflops", peaks.f32 * 1e-9},
                                                       {"peak_bf16_gflops", peaks.bf16 * 1e-9},
                                                       {"peak_int8_gops", peaks.i8 * 1e-9}})},
                             {"rows", rows},
                             {"verdicts", verdicts},
                             {"cold_start", starts},
                             {"peak_memory_bytes", peak_memory_bytes()}}));
    return kDone;
  }
  print_text(fmt::format("{}, {} threads, {}; peak in this run: {:.0f} GFLOP/s fp32, {}{:.0f} GOP/s int8\n",
                         cpu.model, pool->num_threads(), name_of(isa_limit()), peaks.f32 * 1e-9,
                         peaks.bf16 > 0 ? fmt::format("{:.0f} bf16, ", peaks.bf16 * 1e-9) : "",
                         peaks.i8 * 1e-9));
  print_text(table.str());
  for (const Json& v : verdicts.as_array("")) {
    print_text(fmt::format("{}, against {}: {}\n", v.find("shape")->as_string(""), options.against,
                           v.find("verdict")->as_string("")));
  }
  for (const Json& start : starts.as_array("")) {
    print_text(fmt::format("start to first result: {} {:.0f} ms\n", start.find("model")->as_string(""),
                           start.find("best_ms")->as_double("")));
  }
  print_text(fmt::format("peak memory of this process: {}\n",
                         format_bytes(static_cast<double>(peak_memory_bytes()))));
  return kDone;
}

}  // namespace

extern const Command bench_command;
const Command bench_command = {"bench", "how fast a model runs here, and whether the smaller one is faster",
                               "  penjing bench minilm-int8 --against minilm\n"
                               "  penjing bench minilm --shapes 1x16,8x128 --threads 1 --json\n"
                               "  penjing bench minilm --against minilm-int8 --rivals",
                               declare, run};

}  // namespace penjing::cli
