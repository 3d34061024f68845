// pretrain: trains a masked language model on plain text, from fresh weights or from a model's own.
#include "train/pretrain.h"

#include <CLI/CLI.hpp>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "cli/param_options.h"
#include "cli/train_commands/run_info.h"
#include "compress/params.h"
#include "train/launch_environment.h"
#include "train/pretrain_params.h"

namespace penjing::cli {

namespace {

constexpr std::size_t kMostConfigBytes = std::size_t{1} << 20;

struct Options {
  std::string model, tokenizer, size, config;
  int64_t layers = 0, hidden = 0, heads = 0, intermediate = 0, max_positions = 512;
};
Options options;
TrainingOptions training;
ParamOptions params;
const CLI::App* command_line = nullptr;

void declare(CLI::App& app) {
  command_line = &app;
  app.add_option(
      "MODEL", options.model,
      "go on from this model; without it: a fresh one of --size, --layers and --hidden, or --config");
  app.add_option("--size", options.size,
                 "a fresh BERT: tiny, mini, small, medium, base, or L-<layers>_H-<hidden size> of Well-Read "
                 "Students (2, 4, ... 12 by 128, 256, 512, 768)");
  app.add_option("--config", options.config,
                 "a fresh model of any family: its config.json; the vocabulary's size is the tokenizer's");
  app.add_option("--layers", options.layers, "a fresh BERT of any size: layers")->check(CLI::PositiveNumber);
  app.add_option("--hidden", options.hidden, "its hidden size")->check(CLI::PositiveNumber);
  app.add_option("--heads", options.heads, "its attention heads; default: hidden size / 64")
      ->check(CLI::PositiveNumber);
  app.add_option("--intermediate", options.intermediate, "its feed-forward size; default: 4 * hidden size")
      ->check(CLI::PositiveNumber);
  app.add_option("--max-positions", options.max_positions, "longest text it will take, tokens")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--tokenizer", options.tokenizer, "folder or model whose tokenizer a fresh model gets");
  declare_training_options(app, training);
  params.declare(app, list_params<train::PretrainParams>());
}

void take_sizes(train::PretrainSettings& s) {
  s.model = options.model;
  s.tokenizer = options.tokenizer;
  const bool described = options.layers > 0 || options.hidden > 0;
  const int ways = (s.model.empty() ? 0 : 1) + (options.size.empty() ? 0 : 1) + (described ? 1 : 0) +
                   (options.config.empty() ? 0 : 1);
  if (ways != 1) {
    fail(ErrorKind::kInput,
         "wanted one of: MODEL to go on from, --size NAME, --layers N with --hidden N, --config FILE");
  }
  if (!s.model.empty()) {
    if (!s.tokenizer.empty()) fail(ErrorKind::kInput, "--tokenizer: {} has its own", s.model);
    return;
  }
  if (described && (options.layers == 0 || options.hidden == 0))
    fail(ErrorKind::kInput, "a fresh model wants both --layers and --hidden");
  if (s.tokenizer.empty())
    fail(ErrorKind::kInput, "a fresh model wants --tokenizer, a folder with tokenizer.json or vocab.txt");
  if (!options.config.empty()) {
    if (options.heads > 0 || options.intermediate > 0 || command_line->count("--max-positions") > 0)
      fail(ErrorKind::kInput, "--heads, --intermediate, --max-positions: {} says them", options.config);
    s.config = Json::parse(read_text_file(options.config, kMostConfigBytes), options.config);
    return;
  }
  s.sizes = described ? BertSizes{} : find_size(options.size);
  if (described) {
    s.sizes.layers = options.layers;
    s.sizes.hidden = options.hidden;
  }
  if (options.heads > 0) s.sizes.heads = options.heads;
  if (options.intermediate > 0) s.sizes.intermediate = options.intermediate;
  s.sizes.max_positions = options.max_positions;
}

Json to_json(const train::PretrainResult& result) {
  Json curve = Json::array();
  for (const train::LossPoint& point : result.curve) {
    curve.push_back(Json::object(
        {{"step", point.step}, {"loss", point.loss}, {"tokens_per_second", point.tokens_per_second}}));
  }
  Json json = training_json(training, result.loop);
  json.set("parameters", result.num_parameters);
  json.set("curve", curve);
  return json;
}

std::string report(const train::PretrainResult& result) {
  TextTable losses({"step", "loss", "tokens/s"}, "rrr");
  for (const train::LossPoint& point : result.curve) {
    losses.add_row({std::to_string(point.step), fmt::format("{:.4f}", point.loss),
                    fmt::format("{:.0f}", point.tokens_per_second)});
  }
  return losses.str() + evaluations_table(result.loop) +
         fmt::format("{}: {} steps, {:.1f} million tokens in {:.0f} s of training, {:.0f} tokens a second\n",
                     training.out, result.loop.steps, static_cast<double>(result.loop.tokens) / 1e6,
                     result.loop.seconds,
                     static_cast<double>(result.loop.tokens) / std::max(result.loop.seconds, 1e-9));
}

int run(const CommonOptions& common) {
  const Json resolved =
      resolve_params("pretrain", list_params<train::PretrainParams>(), params.given(*command_line));
  train::PretrainSettings s = read_params<train::PretrainParams>(resolved).settings();
  take_sizes(s);
  training.put_into(s, common);
  if (train::read_launch_environment().rank != 0) set_progress_style(ProgressStyle::kNone);
  train::PretrainResult result;
  const bool trained = run_training(
      training, common, [&] { return run_info(s, options.size.empty() ? options.config : options.size); },
      "held back",
      [&](const Tell& tell, const OnStep& on_step) {
        result = train::pretrain(s, tell, on_step);
        return result.loop;
      });
  if (!trained || result.rank != 0) return kDone;
  if (common.json) {
    print_json(to_json(result));
  } else {
    print_text(report(result));
  }
  return kDone;
}

}  // namespace

extern const Command pretrain_command;
const Command pretrain_command = {
    "pretrain", "train a masked language model on plain text",
    "  penjing pretrain --size mini --tokenizer bert-base --data texts/ --steps 100000 --out bert-mini\n"
    "  penjing pretrain --config mobilebert/config.json --tokenizer bert-base --data texts/ --steps 100000 "
    "--out "
    "mobilebert\n"
    "  penjing pretrain bert-base --data notes.txt.xz more.jsonl --steps 2000 --learning-rate 2e-5 --out "
    "mine\n"
    "  penjing pretrain bert-base --data notes.txt.xz more.jsonl --steps 2000 --learning-rate 2e-5 --out "
    "mine "
    "--resume\n"
    "Tokens are hidden and guessed (15 %, whole words, as BERT's authors do it). No labels are needed. Going "
    "on from\n"
    "BERT on texts of your own field (a learning rate of some 2e-5) makes it better at tasks of that field; "
    "a fresh\n"
    "model wants some hundred million words. Interrupted, or killed at any time, --resume goes on from the "
    "last\n"
    "checkpoint to the same result bit for bit.",
    declare, run};

}  // namespace penjing::cli
