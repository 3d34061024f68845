// finetune: trains a model for a task on labelled data.
#include "train/finetune.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/output_file.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "cli/param_options.h"
#include "cli/train_commands/run_info.h"
#include "compress/params.h"
#include "eval/statistics.h"
#include "train/finetune_params.h"
#include "train/launch_environment.h"

namespace penjing::cli {

namespace {

const CLI::App* command_line = nullptr;
std::string model, dump;
TrainingOptions options;
ParamOptions params;
std::vector<int64_t> seeds;

void declare(CLI::App& app) {
  command_line = &app;
  app.add_option("MODEL", model, "the model to start from")->required();
  declare_training_options(app, options);
  app.add_option("--dump-step", dump,
                 "folder for the first step's gradients and parameters and ten steps' tokens and losses")
      ->excludes("--dry-run");
  app.add_option("--seeds", seeds, "several runs, 1,2,3: to OUT/seed-1, ...; scores with mean and deviation")
      ->delimiter(',')
      ->excludes("--dump-step");
  params.declare(app, list_params<train::FinetuneParams>());
}

// One run; its result is of rank 0 alone. Nothing where nothing was trained: --dry-run.
std::optional<train::FinetuneResult> run_one(const train::FinetuneSettings& s, const CommonOptions& common) {
  TrainingOptions own = options;
  own.out = s.out.string();
  train::FinetuneResult result;
  const bool trained = run_training(
      own, common, [&] { return run_info("finetune", s); }, s.eval_split,
      [&](const Tell& tell, const OnStep& on_step) {
        result = train::finetune(s, tell, on_step);
        return result.loop;
      });
  if (!trained) return {};
  if (result.rank != 0) return result;
  if (!common.json) {
    print_text(evaluations_table(result.loop) + training_summary(own, result.loop));
  }
  return result;
}

// OUT/seed-N for each seed, one after the other; the last scores with mean and sample deviation.
int run_seeds(train::FinetuneSettings s, const CommonOptions& common) {
  if (options.dry_run) fail(ErrorKind::kInput, "--dry-run: of one seed");
  if (train::read_launch_environment().distributed()) {
    fail(ErrorKind::kUnsupported, "--seeds: one process alone; with several ranks a run a seed");
  }
  train::check_device(s);
  std::map<std::string, std::vector<double>> scores;
  Json runs = Json::array();
  for (const int64_t seed : seeds) {
    s.loop.seed = s.loop.batches.seed = static_cast<uint64_t>(seed);
    s.out = std::filesystem::path(options.out) / fmt::format("seed-{}", seed);
    const std::filesystem::path done = s.out.string() + ".training/result.json";
    Json report;
    if (options.resume && std::filesystem::exists(s.out) && std::filesystem::exists(done)) {
      report = Json::parse(read_text_file(done, 16 << 20), done.string());
    } else {
      std::filesystem::create_directories(options.out);
      TrainingOptions own = options;
      own.out = s.out.string();
      report = training_json(own, run_one(s, common)->loop);
      write_text_file(done, report.dump(2) + "\n");
    }
    const auto& evaluations = report.find("evaluations")->as_array("evaluations");
    if (!evaluations.empty()) {
      for (const auto& [name, value] : evaluations.back().find("scores")->as_object("scores")) {
        scores[name].push_back(value.as_double(name));
      }
    }
    runs.push_back(std::move(report));
  }
  Json summary = Json::object();
  TextTable table({"score", "seeds", "mean", "deviation", "least", "greatest"}, "lrrrrr");
  for (const auto& [name, values] : scores) {
    const Spread spread = spread_of(values);
    summary.set(name, Json::object({{"mean", spread.mean},
                                    {"deviation", spread.deviation ? Json(*spread.deviation) : Json()}}));
    table.add_row({name, std::to_string(values.size()), fmt::format("{:.4f}", spread.mean),
                   spread.deviation ? fmt::format("{:.4f}", *spread.deviation) : "",
                   fmt::format("{:.4f}", spread.low), fmt::format("{:.4f}", spread.high)});
  }
  if (common.json) {
    print_json(Json::object({{"out", options.out}, {"runs", runs}, {"scores", summary}}));
  } else if (!scores.empty()) {
    print_text(table.str());
  }
  return kDone;
}

int run(const CommonOptions& common) {
  const Json resolved =
      resolve_params("finetune", list_params<train::FinetuneParams>(), params.given(*command_line));
  train::FinetuneSettings s = read_params<train::FinetuneParams>(resolved).settings();
  s.model = model;
  options.put_into(s, common);
  s.loop.dump = dump;
  if (train::read_launch_environment().rank != 0) set_progress_style(ProgressStyle::kNone);
  if (!seeds.empty()) return run_seeds(s, common);
  const std::optional<train::FinetuneResult> result = run_one(s, common);
  if (result && common.json && result->rank == 0) print_json(training_json(options, result->loop));
  return kDone;
}

}  // namespace

extern const Command finetune_command;
const Command finetune_command = {
    "finetune", "train a model for a task on labelled data",
    "  penjing finetune bert-base --task stsb --data glue-stsb --out bert-stsb --precision bf16\n"
    "  penjing finetune minilm --task classification --data my.csv --no-eval --out mine\n"
    "  penjing finetune minilm --task rte --data glue-rte --out rte --seeds 1,2,3\n"
    "  penjing finetune bert-base --task cola --data glue-cola --out bert-cola --resume",
    declare, run};

}  // namespace penjing::cli
