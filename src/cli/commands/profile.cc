// profile: where the time of a forward goes, by operation and layer, and what limits it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/output_file.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "cli/bench_work.h"
#include "cli/loaded_model.h"
#include "cli/machine_peak.h"
#include "cli/memory_bandwidth.h"
#include "cli/step_times.h"
#include "eval/statistics.h"
#include "kernels/cpu.h"

namespace penjing::cli {

namespace {

using Clock = StepEvent::Clock;

struct Options {
  std::string model, shape = "1x128", trace;
  int rounds = 30;
  bool steps = false, no_roofline = false;
};
Options options;

constexpr int kWarmUps = 3;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "the model to look into")->required();
  app.add_option("--shape", options.shape,
                 "SEQUENCESxTOKENS, 'var' for mixed lengths of 5 to 256, or lengths: 12+40+7")
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "forwards timed; the figures are their medians")
      ->capture_default_str()
      ->check(CLI::Range(3, 1000));
  app.add_option("--trace", options.trace,
                 "write one forward as a Chrome trace (chrome://tracing, Perfetto)");
  app.add_flag("--steps", options.steps, "a row a step instead of a row an operation");
  app.add_flag("--no-roofline", options.no_roofline,
               "do not measure the machine's peaks and memory bandwidth");
}

Json to_json(const StepRow& row, double total) {
  Json json = Json::object({{"count", row.count},
                            {"ms", row.ms},
                            {"share", total > 0 ? row.ms / total : 0},
                            {"operations", row.operations},
                            {"weight_bytes", row.weight_bytes},
                            {"activation_bytes", row.activation_bytes},
                            {"giga_operations_per_s", row.giga_per_s()}});
  if (!options.no_roofline) {
    json.set("peak_share", row.peak_share());
    json.set("memory_share", row.memory_share());
    json.set("roof", row.roof());
    json.set("bound", row.bound());
  }
  return json;
}

std::string layer_name(int layer) {
  return layer < 0 ? "outside" : std::to_string(layer);
}

std::string per_cent(double share) {
  return fmt::format("{:.1f} %", share * 100);
}

class Profile {
 public:
  explicit Profile(const CommonOptions& common)
      : pool_(std::make_shared<ThreadPool>(common.threads)),
        loaded_(load_model(options.model, common, {}, pool_)),
        shape_(parse_one_shape()),
        work_(make_work(options.model, *loaded_.tokenizer, shape_)) {
    for (const OutputKind kind : {OutputKind::kEmbedding, OutputKind::kClassLogits, OutputKind::kTokenLogits,
                                  OutputKind::kSpanLogits}) {
      if (!loaded_.predictor->supports(kind)) continue;
      kind_ = kind;
      break;
    }
    if (!options.no_roofline) {
      roofs_ = {measure_peak(*pool_, PeakKind::kFloat), measure_peak(*pool_, PeakKind::kBfloat),
                measure_peak(*pool_, PeakKind::kInteger), measure_bandwidth(*pool_)};
    }
    run();
    rows_ = median_rows(recorder_, roofs_);
    for (const StepRow& row : rows_) total_.add(row);
  }

  void print(bool json) const { json ? print_json(report()) : print_text(tables()); }

  // One forward in the trace event format: the forward itself, its steps inside, and their work as arguments.
  // The round is the one nearest to the median.
  void write_trace(const std::string& path) const {
    const double median = quantile(whole_ms_, 0.5);
    std::size_t chosen = 0;
    for (std::size_t i = 0; i < whole_ms_.size(); ++i) {
      if (std::abs(whole_ms_[i] - median) < std::abs(whole_ms_[chosen] - median)) chosen = i;
    }
    const StepPiece whole = whole_[chosen];
    const auto event = [&](const std::string& name, const std::string& category, const StepPiece& span) {
      return Json::object({{"name", name},
                           {"cat", category},
                           {"ph", "X"},
                           {"pid", 1},
                           {"tid", span.thread + 1},
                           {"ts", milliseconds(span.begin - whole.begin) * 1e3},
                           {"dur", milliseconds(span.end - span.begin) * 1e3}});
    };
    Json events = Json::array();
    events.push_back(Json::object({{"name", "process_name"},
                                   {"ph", "M"},
                                   {"pid", 1},
                                   {"args", Json::object({{"name", "penjing " + options.model}})}}));
    for (int thread = 0; thread < pool_->num_threads(); ++thread) {
      events.push_back(Json::object(
          {{"name", "thread_name"},
           {"ph", "M"},
           {"pid", 1},
           {"tid", thread + 1},
           {"args", Json::object({{"name", thread == 0 ? "forward" : fmt::format("worker {}", thread)}})}}));
    }
    events.push_back(event(fmt::format("forward {}", shape_.name), "forward", whole));
    for (std::size_t i = 0; i < recorder_.steps().size(); ++i) {
      const StepDescription& step = recorder_.steps()[i];
      for (const StepPiece& piece : recorder_.rounds()[chosen][i].pieces) {
        Json json = event(step.operation, step.kind, piece);
        json.set("args", Json::object({{"layer", step.layer},
                                       {"operations", step.operations},
                                       {"arithmetic", name_of(step.arithmetic)},
                                       {"sparse", step.sparse},
                                       {"weight_bytes", step.weight_bytes},
                                       {"activation_bytes", step.activation_bytes}}));
        events.push_back(json);
      }
    }
    write_text_file(path, Json::object({{"displayTimeUnit", "ms"}, {"traceEvents", events}}).dump() + "\n");
  }

 private:
  Shape parse_one_shape() const {
    const auto shapes = parse_shapes(options.shape, loaded_.predictor->max_length());
    if (shapes.size() != 1) fail(ErrorKind::kInput, "--shape: \"{}\": wanted one shape", options.shape);
    return shapes.front();
  }

  double time_forward(Predictor& predictor, StepPiece* span) {
    Request request;
    request.kind = kind_;
    const auto begin = Clock::now();
    (void)predictor.predict(work_.batch, request);
    const auto end = Clock::now();
    if (span != nullptr) *span = {begin, end, 0};
    return milliseconds(end - begin);
  }

  // Observed and plain forwards in turn, so that the cost of looking is seen.
  void run() {
    const auto observed = loaded_.engine->new_session(pool_, 16384, &recorder_);
    time_forward(*observed, nullptr);  // tells what the steps are
    for (int i = 0; i < kWarmUps; ++i) time_forward(*loaded_.predictor, nullptr);
    Progress progress("profile", options.rounds, "forwards");
    for (int round = 0; round < options.rounds; ++round) {
      check_interrupt();
      plain_ms_.push_back(time_forward(*loaded_.predictor, nullptr));
      recorder_.start_round();
      whole_ms_.push_back(time_forward(*observed, &whole_.emplace_back()));
      progress.advance();
    }
  }

  // Share of a forward that lies in its steps: the median of the rounds.
  double accounted() const {
    std::vector<double> shares;
    for (std::size_t i = 0; i < whole_ms_.size(); ++i) {
      double inside = 0;
      for (const StepTime& step : recorder_.rounds()[i]) inside += milliseconds(step.duration);
      shares.push_back(inside / whole_ms_[i]);
    }
    return quantile(shares, 0.5);
  }

  Json report() const {
    Json operations = Json::array(), layers = Json::array(), steps = Json::array();
    for (const StepRow& row : sum_by_operation(rows_)) {
      Json json = to_json(row, total_.ms);
      json.set("operation", row.operation), json.set("kind", row.kind);
      operations.push_back(json);
    }
    for (const StepRow& row : sum_by_layer(rows_)) {
      Json json = to_json(row, total_.ms);
      json.set("layer", row.layer);
      layers.push_back(json);
    }
    for (const StepRow& row : rows_) {
      Json json = to_json(row, total_.ms);
      json.set("operation", row.operation), json.set("kind", row.kind), json.set("layer", row.layer);
      steps.push_back(json);
    }
    Json json = Json::object({{"model", options.model},
                              {"shape", shape_.name},
                              {"tokens", shape_.tokens()},
                              {"output", to_string(kind_)},
                              {"threads", pool_->num_threads()},
                              {"isa", name_of(isa_limit())},
                              {"rounds", options.rounds},
                              {"whole_ms", quantile(whole_ms_, 0.5)},
                              {"unobserved_ms", quantile(plain_ms_, 0.5)},
                              {"steps_ms", total_.ms},
                              {"accounted", accounted()},
                              {"total", to_json(total_, total_.ms)},
                              {"operations", operations},
                              {"layers", layers},
                              {"steps", steps}});
    Json kinds = Json::array();
    for (const ProductKind& kind : loaded_.engine->product_kinds()) {
      kinds.push_back(Json::object({{"arithmetic", name_of(kind.arithmetic)},
                                    {"sparse", kind.sparse},
                                    {"matrices", kind.matrices},
                                    {"share", kind.share},
                                    {"zero_blocks", kind.zero_blocks}}));
    }
    json.set("products", kinds);
    if (!options.no_roofline) {
      json.set("machine", Json::object({{"peak_fp32_gflops", roofs_.f32 * 1e-9},
                                        {"peak_bf16_gflops", roofs_.bf16 * 1e-9},
                                        {"peak_int8_gops", roofs_.i8 * 1e-9},
                                        {"bandwidth_gb_per_s", roofs_.bandwidth * 1e-9}}));
    }
    return json;
  }

  std::vector<std::string> cells(const std::string& name, const std::string& second,
                                 const StepRow& row) const {
    std::vector<std::string> cells = {name,
                                      second,
                                      fmt::format("{:.3f}", row.ms),
                                      per_cent(row.ms / total_.ms),
                                      format_bytes(static_cast<double>(row.weight_bytes)),
                                      format_bytes(static_cast<double>(row.activation_bytes)),
                                      fmt::format("{:.1f}", static_cast<double>(row.operations) * 1e-6),
                                      row.operations > 0 ? fmt::format("{:.0f}", row.giga_per_s()) : ""};
    if (!options.no_roofline) {
      cells.push_back(row.operations > 0 ? per_cent(row.peak_share()) : "");
      cells.push_back(per_cent(row.memory_share()));
      cells.emplace_back(row.bound());
    }
    return cells;
  }

  TextTable new_table(const std::string& first, const std::string& second) const {
    std::vector<std::string> header = {first,     second,        "ms",  "share",
                                       "weights", "activations", "Mop", "Gop/s"};
    if (!options.no_roofline) header.insert(header.end(), {"of peak", "of memory", "bound by"});
    return {header, options.no_roofline ? "llrrrrrr" : "llrrrrrrrrl"};
  }

  std::string tables() const {
    std::string text =
        fmt::format("{}, {} ({} tokens), {}, {} threads, {}\n", options.model, shape_.name, shape_.tokens(),
                    to_string(kind_), pool_->num_threads(), name_of(isa_limit()));
    if (!options.no_roofline) {
      text += fmt::format(
          "in this run the machine reaches {:.0f} GFLOP/s fp32, {}{:.0f} GOP/s int8, {:.1f} GB/s\n",
          roofs_.f32 * 1e-9, roofs_.bf16 > 0 ? fmt::format("{:.0f} bf16, ", roofs_.bf16 * 1e-9) : "",
          roofs_.i8 * 1e-9, roofs_.bandwidth * 1e-9);
    }
    for (const ProductKind& kind : loaded_.engine->product_kinds()) {
      text += fmt::format(
          "{} matrices in {}, {} of the operations, {}\n", kind.matrices, name_of(kind.arithmetic),
          per_cent(kind.share),
          kind.sparse ? per_cent(kind.zero_blocks) + " of their 4x1 blocks are zero and skipped" : "dense");
    }
    TextTable operations = new_table("operation", options.steps ? "layer" : "steps");
    for (const StepRow& row : options.steps ? rows_ : sum_by_operation(rows_)) {
      const std::string name = row.kind == row.operation || row.kind == "product" || row.kind == "attention"
                                   ? row.operation
                                   : row.kind + ": " + row.operation;
      operations.add_row(cells(name, options.steps ? layer_name(row.layer) : std::to_string(row.count), row));
    }
    operations.add_rule();
    operations.add_row(cells("total", std::to_string(total_.count), total_));
    TextTable layers = new_table("layer", "steps");
    for (const StepRow& row : sum_by_layer(rows_)) {
      layers.add_row(cells(layer_name(row.layer), std::to_string(row.count), row));
    }
    text += "\n" + operations.str() + "\n" + layers.str() + "\n";
    const double whole = quantile(whole_ms_, 0.5);
    text += fmt::format(
        "a forward takes {:.3f} ms (median of {}), {:.3f} ms when nobody looks; its steps are {} of it\n",
        whole, options.rounds, quantile(plain_ms_, 0.5), per_cent(accounted()));
    // Each interruption hits one step of a forward, and the medians of the steps leave it out.
    if (total_.ms < 0.9 * whole * accounted()) {
      text +=
          "the medians of the steps add up to less: other work interrupted this machine; measure again when "
          "it is idle\n";
    }
    return text + (options.no_roofline ? "" : verdict() + "\n");
  }

  // The limits of the steps, by the time they take.
  std::string verdict() const {
    std::string text;
    for (const char* const limit : {"compute", "memory", "caches", "overhead"}) {
      double ms = 0;
      for (const StepRow& row : rows_) ms += std::string_view(row.bound()) == limit ? row.ms : 0;
      if (ms > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", limit, per_cent(ms / total_.ms));
    }
    return "bound by, as a share of the time: " + text;
  }

  std::shared_ptr<ThreadPool> pool_;
  LoadedModel loaded_;
  Shape shape_;
  Work work_;
  OutputKind kind_ = OutputKind::kHidden;
  Roofs roofs_;
  StepRecorder recorder_;
  std::vector<double> whole_ms_, plain_ms_;
  std::vector<StepPiece> whole_;
  std::vector<StepRow> rows_;
  StepRow total_;
};

int run(const CommonOptions& common) {
  const Profile profile(common);
  if (!options.trace.empty()) profile.write_trace(options.trace);
  profile.print(common.json);
  return kDone;
}

}  // namespace

extern const Command profile_command;
const Command profile_command = {"profile", "where the time of a forward goes, and what limits it",
                                 "  penjing profile minilm-int8\n"
                                 "  penjing profile minilm --shape 8x64 --threads 1 --steps\n"
                                 "  penjing profile minilm --trace forward.json",
                                 declare, run};

}  // namespace penjing::cli
