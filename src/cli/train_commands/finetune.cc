// finetune: trains a model for a task on labelled data.
#include "train/finetune.h"

#include <CLI/CLI.hpp>

#include "base/progress.h"
#include "cli/param_options.h"
#include "cli/training_command.h"
#include "compress/params.h"
#include "train/finetune_params.h"
#include "train/launch_environment.h"
#include "train/settings_digest.h"

namespace penjing::cli {

namespace {

const CLI::App* command_line = nullptr;
std::string model, dump;
TrainingOptions options;
ParamOptions params;

void declare(CLI::App& app) {
  command_line = &app;
  app.add_option("MODEL", model, "the model to start from")->required();
  declare_training_options(app, options);
  app.add_option("--dump-step", dump,
                 "folder for the first step's gradients and parameters and ten steps' tokens and losses");
  params.declare(app, list_params<train::FinetuneParams>());
}

// The ledger's facts; settings without the seed, so that runs of several seeds are one group.
RunInfo run_info(const train::FinetuneSettings& s, const std::string& scheme) {
  RunInfo info;
  info.kind = "finetune";
  info.name = s.out.filename().string();
  info.model = s.model;
  info.task = s.task;
  info.data = s.data.data.string();
  info.seed = static_cast<int64_t>(s.loop.seed);
  info.settings = train::digest_settings(s.loop);
  info.settings.erase("seed");
  info.settings.set("max_length", s.max_length);
  info.settings.set("params", s.params);
  if (s.fake_quant) info.settings.set("quantize_aware", scheme);
  info.inputs = hash_inputs(s.model, {s.data.data});
  info.threads = s.threads;
  info.output = s.out.string();
  return info;
}

int run(const CommonOptions& common) {
  const Json resolved =
      resolve_params("finetune", list_params<train::FinetuneParams>(), params.given(*command_line));
  const auto given = read_params<train::FinetuneParams>(resolved);
  train::FinetuneSettings s = given.settings();
  s.model = model;
  s.out = options.out;
  s.resume = options.resume;
  s.timeout = options.timeout;
  s.bucket_bytes = options.bucket_bytes();
  s.threads = common.threads;
  s.loop.dump = dump;
  if (train::read_launch_environment().rank != 0) set_progress_style(ProgressStyle::kNone);
  train::FinetuneResult result;
  run_training(
      options, common, [&] { return run_info(s, given.scheme); }, s.eval_split,
      [&](const Tell& tell, const OnStep& on_step) {
        result = train::finetune(s, tell, on_step);
        return result.loop;
      });
  if (result.rank != 0) return kDone;
  if (common.json) {
    print_json(training_json(options, result.loop));
    return kDone;
  }
  print_text(evaluations_table(result.loop));
  print_text(
      fmt::format("{}: {} steps, last epoch's loss {:.4f}, {:.0f} s of training, {:.0f} tokens a second{}\n",
                  options.out, result.loop.steps, result.loop.loss, result.loop.seconds,
                  static_cast<double>(result.loop.tokens) / std::max(result.loop.seconds, 1e-9),
                  result.loop.stopped_early ? "; stopped early" : ""));
  return kDone;
}

}  // namespace

extern const Command finetune_command;
const Command finetune_command = {
    "finetune", "train a model for a task on labelled data",
    "  penjing finetune bert-base --task stsb --data glue-stsb --out bert-stsb --precision bf16\n"
    "  penjing finetune minilm --task classification --data my.csv --no-eval --out mine\n"
    "  penjing finetune bert-base --task cola --data glue-cola --out bert-cola --resume",
    declare, run};

}  // namespace penjing::cli
