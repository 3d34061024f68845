// finetune: trains a model for a task on labelled data.
#include "train/finetune.h"

#include <CLI/CLI.hpp>
#include <charconv>

#include "base/error.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "cli/command.h"
#include "cli/training_record.h"
#include "io/model_folder.h"
#include "train/launch_environment.h"
#include "train/settings_digest.h"

namespace penjing::cli {

namespace {

struct Options {
  train::FinetuneSettings settings;
  std::string schedule = "linear", class_weights, loss, scheme, activation_range = "token";
  bool learned_weights = false;
  std::vector<std::string> params;
  int64_t limit = 0;
  double label_smoothing = 0, bucket_megabytes = 25;
  bool no_eval = false;
  std::vector<std::string> groups;
};
Options options;

void declare_data(CLI::App& app) {
  train::FinetuneSettings& s = options.settings;
  app.add_option("MODEL", s.model, "the model to start from")->required();
  app.add_option("--task", s.task, "what is learned: " + train::objective_names())->required();
  app.add_option("--data", s.data.data, "a folder with train and dev (.tsv, .csv, .jsonl, .json), or a file")
      ->required();
  app.add_option("--out", s.out, "model folder to write; logs and checkpoints go to OUT.training")
      ->required();
  app.add_option("--train-split", s.train_split, "which of the folder is learned")->capture_default_str();
  app.add_option("--eval-split", s.eval_split, "which is scored after every epoch")->capture_default_str();
  app.add_flag("--no-eval", options.no_eval, "no scoring: all data are in one file");
  app.add_option("--text-column", s.data.columns.text, "instead of the guess");
  app.add_option("--pair-column", s.data.columns.pair, "the second text of a pair");
  app.add_option("--label-column", s.data.columns.label, "label or score");
  app.add_option("--limit", options.limit, "the first N training examples only")->check(CLI::PositiveNumber);
  app.add_option("--max-length", s.max_length, "tokens a text; 0: what the model can take")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--label-smoothing", options.label_smoothing,
                 "share of the truth given to all classes alike");
  app.add_option("--class-weights", options.class_weights, "balanced, or one number a class: 1,2.5");
  app.add_option("--loss", options.loss,
                 "regression: mse, bce (scores from 0 to 1); of embeddings: docs/training.md");
  app.add_option("--param", options.params, "NAME=VALUE: a setting of the task's own (docs/training.md)");
}

void declare_training(CLI::App& app) {
  train::LoopSettings& l = options.settings.loop;
  app.add_option("--epochs", l.epochs, "times through the data; may be a fraction")->capture_default_str();
  app.add_option("--max-steps", l.max_steps, "steps, instead of epochs")->check(CLI::PositiveNumber);
  app.add_option("--batch-size", l.batches.batch_size, "examples a step")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--batch-tokens", l.batches.batch_tokens,
                 "as many examples a step as have N tokens, instead")
      ->check(CLI::PositiveNumber);
  app.add_option("--micro-tokens", l.micro_tokens,
                 "tokens in memory at once; a step's gradients are summed over several")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--optimizer", l.optimizer.name, "adamw, lamb, sgd")->capture_default_str();
  app.add_option("--learning-rate", l.learning_rate, "at its peak")->capture_default_str();
  app.add_option("--schedule", options.schedule, "linear, cosine, constant")->capture_default_str();
  app.add_option("--warmup", l.warmup, "share of the steps in which the rate rises")->capture_default_str();
  app.add_option("--weight-decay", l.rules.weight_decay, "not of biases and norms")->capture_default_str();
  app.add_option("--momentum", l.optimizer.momentum, "of sgd")->capture_default_str();
  app.add_option("--layer-decay", l.rules.layer_decay,
                 "learning rate falls by this factor a layer from the top")
      ->capture_default_str();
  app.add_option("--group", options.groups,
                 "PATTERN:rate=0.1,decay=0,frozen: own settings of the parameters that the pattern matches");
  app.add_flag("--freeze-encoder", l.rules.freeze_encoder, "train the head only");
  app.add_option("--clip", l.clip_norm, "norm of all gradients at most; 0: none")->capture_default_str();
  app.add_option("--average", l.average,
                 "keep an exponential average of the weights with this decay (0.999)");
  app.add_option("--dropout", l.hidden_dropout, "instead of the model's own");
  app.add_option("--attention-dropout", l.attention_dropout, "instead of the model's own");
  app.add_option("--classifier-dropout", l.classifier_dropout, "instead of the model's own");
  app.add_option("--precision", l.precision, "fp32, bf16, fp16, tf32, fp8: docs/mixed-precision.md")
      ->capture_default_str();
  app.add_option("--loss-scaling", l.loss_scaling,
                 "none, pytorch, deepspeed, or a fixed scale; default: pytorch where the precision needs it");
  app.add_option("--record-step", l.record_step,
                 "record step N for `penjing numerics --diagnose OUT.training`")
      ->check(CLI::PositiveNumber);
  app.add_option(
      "--quantize-aware", options.scheme,
      "train for this scheme of `penjing quantize` (w8a8, w7a8, w7a7, ...); the result is so quantized");
  app.add_option("--activation-range", options.activation_range,
                 "of --quantize-aware: token (each its own), average (moving), learned")
      ->capture_default_str()
      ->check(CLI::IsMember({"token", "average", "learned"}));
  app.add_flag("--learned-weight-scales", options.learned_weights,
               "of --quantize-aware: LSQ (Esser et al. 2020)");
  app.add_option("--seed", l.seed, "of order, dropout and fresh weights")->capture_default_str();
}

void declare_run(CLI::App& app) {
  train::LoopSettings& l = options.settings.loop;
  app.add_option("--eval-steps", l.eval_steps, "score every N steps; default: every epoch")
      ->check(CLI::PositiveNumber);
  app.add_option("--metric", l.metric, "which score decides; default: the task's first");
  app.add_flag("--keep-best", l.keep_best, "the result is the best-scored state, not the last");
  app.add_option("--patience", l.patience, "stop after N scorings without a better one")
      ->check(CLI::PositiveNumber);
  app.add_option("--save-steps", l.save_steps, "checkpoint every N steps")->check(CLI::PositiveNumber);
  app.add_option("--save-minutes", l.save_minutes, "checkpoint every N minutes")->capture_default_str();
  app.add_option("--keep", l.keep, "checkpoints kept")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--dump-step", l.dump,
                 "folder for the first step's gradients and parameters and ten steps' tokens and losses");
  app.add_option("--timeout", options.settings.timeout,
                 "several ranks (docs/distributed.md): seconds that one may be late")
      ->capture_default_str();
  app.add_option("--bucket-mb", options.bucket_megabytes,
                 "several ranks: megabytes of gradients sent together")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_flag("--resume", options.settings.resume, "go on with the run that was begun at --out");
}

void declare(CLI::App& app) {
  declare_data(app);
  declare_training(app);
  declare_run(app);
}

double number(const std::string& text, const std::string& what) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail(ErrorKind::kInput, "{}: \"{}\" is no number", what, text);
  }
  return value;
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(at, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// NAME=VALUE, the value as JSON where it is JSON, else as text.
void set_param(Json& params, const std::string& text) {
  const std::size_t at = text.find('=');
  if (at == std::string::npos || at == 0) fail(ErrorKind::kInput, "--param {}: wanted NAME=VALUE", text);
  const std::string value = text.substr(at + 1);
  try {
    params.set(text.substr(0, at), Json::parse(value, "--param"));
  } catch (const Error&) {
    params.set(text.substr(0, at), value);
  }
}

train::FakeQuantSettings fake_quant() {
  train::FakeQuantSettings settings;
  train::set_scheme(settings, options.scheme);
  settings.weight_learned = options.learned_weights;
  settings.activations = options.activation_range == "token"     ? train::ActivationRange::kPerToken
                         : options.activation_range == "average" ? train::ActivationRange::kMovingAverage
                                                                 : train::ActivationRange::kLearned;
  return settings;
}

// "PATTERN:rate=0.1,decay=0,frozen"
train::ParameterGroup parse_group(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) fail(ErrorKind::kInput, "--group {}: wanted PATTERN:SETTING,...", text);
  train::ParameterGroup group;
  group.pattern = text.substr(0, colon);
  for (const std::string& setting : split(text.substr(colon + 1), ',')) {
    if (setting == "frozen") {
      group.frozen = true;
    } else if (setting.starts_with("rate=")) {
      group.rate = number(setting.substr(5), "--group rate");
    } else if (setting.starts_with("decay=")) {
      group.weight_decay = number(setting.substr(6), "--group decay");
    } else {
      fail(ErrorKind::kInput, "--group {}: \"{}\"; there are rate=, decay= and frozen", text, setting);
    }
  }
  return group;
}

Json to_json(const train::FinetuneResult& result) {
  Json evaluations = Json::array();
  for (const train::Evaluated& evaluated : result.loop.evaluations) {
    Json scores = Json::object();
    for (const auto& [name, value] : evaluated.scores) scores.set(name, value);
    evaluations.push_back(
        Json::object({{"step", evaluated.step}, {"epoch", evaluated.epoch}, {"scores", scores}}));
  }
  return Json::object({{"out", options.settings.out.string()},
                       {"training_folder", result.training_folder.string()},
                       {"steps", result.loop.steps},
                       {"first_step", result.loop.first_step},
                       {"seconds", result.loop.seconds},
                       {"tokens_per_second", static_cast<double>(result.loop.tokens) / result.loop.seconds},
                       {"loss", result.loop.loss},
                       {"stopped_early", result.loop.stopped_early},
                       {"evaluations", evaluations}});
}

// The ledger's facts; settings without the seed, so that runs of several seeds are one group.
RunInfo run_info(const train::FinetuneSettings& s, int threads) {
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
  if (s.fake_quant) info.settings.set("quantize_aware", options.scheme);
  info.inputs = hash_input(resolve_model(s.model));
  for (const InputHash& file : hash_input(s.data.data)) info.inputs.push_back(file);
  info.threads = threads;
  info.output = s.out.string();
  return info;
}

int run(const CommonOptions& common) {
  train::FinetuneSettings& s = options.settings;
  s.threads = common.threads;
  s.data.limit = static_cast<std::size_t>(options.limit);
  s.loop.schedule = train::parse_schedule(options.schedule);
  s.loop.batches.seed = s.loop.seed;
  s.bucket_bytes = static_cast<int64_t>(options.bucket_megabytes * (1 << 20));
  if (options.no_eval) s.eval_split.clear();
  for (const std::string& group : options.groups) s.loop.rules.groups.push_back(parse_group(group));
  if (options.label_smoothing != 0) s.params.set("label_smoothing", options.label_smoothing);
  if (!options.loss.empty()) s.params.set("loss", options.loss);
  for (const std::string& param : options.params) set_param(s.params, param);
  if (!options.scheme.empty()) s.fake_quant = fake_quant();
  if (options.class_weights == "balanced") {
    s.params.set("class_weights", "balanced");
  } else if (!options.class_weights.empty()) {
    Json weights = Json::array();
    for (const std::string& part : split(options.class_weights, ','))
      weights.push_back(number(part, "--class-weights"));
    s.params.set("class_weights", weights);
  }
  std::unique_ptr<RecordedRun> record;
  const std::filesystem::path folder = s.out.string() + ".training";
  // The first words come when data and model are read: from then on it is a run.
  const auto tell = [&](const std::string& text) {
    if (!record) record = record_training(run_info(s, common.threads), folder, s.resume);
    if (!common.json && !common.quiet) print_text(text);
  };
  if (train::read_launch_environment().rank != 0) set_progress_style(ProgressStyle::kNone);
  train::FinetuneResult result;
  try {
    result = train::finetune(s, tell, [&](const train::StepLog& step) {
      if (record && step.step % 1000 == 0) record->sample_energy();
    });
  } catch (const Error& error) {
    if (record) record->fail_because(error.what());
    throw;
  }
  if (result.rank != 0) return kDone;
  if (record && !result.loop.evaluations.empty()) {
    for (const auto& [name, value] : result.loop.evaluations.back().scores) {
      record->add_score({name, s.eval_split, value, {}, {}});
    }
  }
  if (record) record->done();
  if (common.json) {
    print_json(to_json(result));
    return kDone;
  }
  TextTable table({"step", "epoch", "score", "value"}, "rrlr");
  for (const train::Evaluated& evaluated : result.loop.evaluations) {
    for (const auto& [name, value] : evaluated.scores) {
      table.add_row({std::to_string(evaluated.step), fmt::format("{:.2f}", evaluated.epoch), name,
                     fmt::format("{:.4f}", value)});
    }
  }
  if (!result.loop.evaluations.empty()) print_text(table.str());
  print_text(
      fmt::format("{}: {} steps, last epoch's loss {:.4f}, {:.0f} s of training, {:.0f} tokens a second{}\n",
                  s.out.string(), result.loop.steps, result.loop.loss, result.loop.seconds,
                  static_cast<double>(result.loop.tokens) / std::max(result.loop.seconds, 1e-9),
                  result.loop.stopped_early ? "; stopped early" : ""));
  return kDone;
}

}  // namespace

extern const Command finetune_command;
const Command finetune_command = {
    "finetune", "train a model for a task on labelled data",
    "  penjing finetune bert-base --task stsb --data glue-stsb --out bert-stsb --precision bf16\n"
    "  penjing finetune minilm --task classification --data my.csv --eval-split '' --no-eval --out mine\n"
    "  penjing finetune bert-base --task cola --data glue-cola --out bert-cola --resume",
    declare, run};

}  // namespace penjing::cli
