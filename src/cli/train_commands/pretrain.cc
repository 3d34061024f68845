// pretrain: trains a masked language model on plain text, from fresh weights or from a model's own.
#include "train/pretrain.h"

#include <CLI/CLI.hpp>

#include "base/error.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "cli/command.h"
#include "train/launch_environment.h"

namespace penjing::cli {

namespace {

struct Options {
  train::PretrainSettings settings;
  std::string size, schedule = "linear", documents = "guess";
  int64_t layers = 0, hidden = 0, heads = 0, intermediate = 0, max_positions = 512;
  int64_t max_predictions = 0, shuffle = 16384, hold_back = 200, eval_sequences = 1000;
  double mask_share = 0.15;
  bool cross_documents = false, no_whole_words = false, no_eval = false;
};

Options make_defaults() {
  Options o;
  train::LoopSettings& l = o.settings.loop;
  l.batches.batch_tokens = 8192;
  l.learning_rate = 1e-4;  // BERT's, as are the decay and the 1 % of warm-up
  l.warmup = 0.01;
  return o;
}
Options options = make_defaults();

void declare_model(CLI::App& app) {
  train::PretrainSettings& s = options.settings;
  app.add_option("MODEL", s.model,
                 "go on from this model; without it: a fresh one of --size or --layers, --hidden");
  app.add_option("--size", options.size,
                 "a fresh BERT: tiny, mini, small, medium, base, or L-<layers>_H-<hidden size> of Well-Read "
                 "Students (2, 4, ... 12 by 128, 256, 512, 768)");
  app.add_option("--layers", options.layers, "a fresh BERT of any size: layers")->check(CLI::PositiveNumber);
  app.add_option("--hidden", options.hidden, "its hidden size")->check(CLI::PositiveNumber);
  app.add_option("--heads", options.heads, "its attention heads; default: hidden size / 64")
      ->check(CLI::PositiveNumber);
  app.add_option("--intermediate", options.intermediate, "its feed-forward size; default: 4 * hidden size")
      ->check(CLI::PositiveNumber);
  app.add_option("--max-positions", options.max_positions, "longest text it will take, tokens")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--tokenizer", s.tokenizer, "folder or model whose tokenizer a fresh model gets");
  app.add_option("--out", s.out, "model folder to write; checkpoints go to OUT.training")->required();
}

void declare_data(CLI::App& app) {
  train::PretrainSettings& s = options.settings;
  app.add_option("--data", s.data,
                 "texts: files and folders of .txt or .jsonl, also .xz or .gz; read as they are "
                 "needed, so they may be larger than memory")
      ->required();
  app.add_option("--eval-data", s.eval_data, "texts to score on; default: documents held back from --data");
  app.add_option("--hold-back", options.hold_back, "one document in N is scored on and not trained on")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 40));
  app.add_option("--eval-sequences", options.eval_sequences, "sequences to score on, at most")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_flag("--no-eval", options.no_eval, "no scoring: train on every document");
  app.add_option("--documents", options.documents,
                 "where a document ends: line, blank-line, guess (blank-line where the file has blank lines)")
      ->capture_default_str()
      ->check(CLI::IsMember({"guess", "line", "blank-line"}));
  app.add_option("--max-length", s.max_length, "tokens of a sequence: as many whole sentences as fit")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_flag("--cross-documents", options.cross_documents, "sequences go on into the next document");
  app.add_option("--shuffle", options.shuffle, "sequences that are held and shuffled together")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--mask-share", options.mask_share, "share of the tokens to be guessed")
      ->capture_default_str();
  app.add_option("--max-predictions", options.max_predictions,
                 "of a sequence, at most; default: the share alone")
      ->check(CLI::PositiveNumber);
  app.add_flag("--no-whole-words", options.no_whole_words, "mask pieces of words one by one");
}

void declare_training(CLI::App& app) {
  train::LoopSettings& l = options.settings.loop;
  app.add_option("--steps", l.max_steps, "how long to train")->required()->check(CLI::PositiveNumber);
  app.add_option("--batch-tokens", l.batches.batch_tokens, "tokens a step")
      ->capture_default_str()
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
  app.add_option("--clip", l.clip_norm, "norm of all gradients at most; 0: none")->capture_default_str();
  app.add_option("--dropout", l.hidden_dropout, "instead of the model's own");
  app.add_option("--attention-dropout", l.attention_dropout, "instead of the model's own");
  app.add_option("--precision", l.precision, "fp32, bf16, fp16, tf32, fp8 (the last three emulated)")
      ->capture_default_str();
  app.add_option("--seed", l.seed, "of fresh weights, order, masks and dropout")->capture_default_str();
  app.add_option("--eval-steps", l.eval_steps, "score every N steps; default: at the end")
      ->check(CLI::PositiveNumber);
  app.add_option("--save-steps", l.save_steps, "checkpoint every N steps")->check(CLI::PositiveNumber);
  app.add_option("--save-minutes", l.save_minutes, "checkpoint every N minutes")->capture_default_str();
  app.add_option("--keep", l.keep, "checkpoints kept")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--timeout", options.settings.timeout,
                 "several ranks (docs/distributed.md): seconds that one may be late")
      ->capture_default_str();
  app.add_flag("--resume", options.settings.resume, "go on with the run that was begun at --out");
}

void declare(CLI::App& app) {
  declare_model(app);
  declare_data(app);
  declare_training(app);
}

void take_sizes(train::PretrainSettings& s) {
  const bool described = options.layers > 0 || options.hidden > 0;
  const int ways = (s.model.empty() ? 0 : 1) + (options.size.empty() ? 0 : 1) + (described ? 1 : 0);
  if (ways != 1)
    fail(ErrorKind::kInput, "wanted one of: MODEL to go on from, --size NAME, --layers N with --hidden N");
  if (!s.model.empty()) {
    if (!s.tokenizer.empty()) fail(ErrorKind::kInput, "--tokenizer: {} has its own", s.model);
    return;
  }
  if (described && (options.layers == 0 || options.hidden == 0))
    fail(ErrorKind::kInput, "a fresh model wants both --layers and --hidden");
  if (s.tokenizer.empty())
    fail(ErrorKind::kInput, "a fresh model wants --tokenizer, a folder with tokenizer.json or vocab.txt");
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
  Json curve = Json::array(), evaluations = Json::array();
  for (const train::LossPoint& point : result.curve) {
    curve.push_back(Json::object(
        {{"step", point.step}, {"loss", point.loss}, {"tokens_per_second", point.tokens_per_second}}));
  }
  for (const train::Evaluated& evaluated : result.loop.evaluations) {
    Json scores = Json::object();
    for (const auto& [name, value] : evaluated.scores) scores.set(name, value);
    evaluations.push_back(Json::object({{"step", evaluated.step}, {"scores", scores}}));
  }
  return Json::object(
      {{"out", options.settings.out.string()},
       {"training_folder", result.training_folder.string()},
       {"parameters", result.num_parameters},
       {"steps", result.loop.steps},
       {"first_step", result.loop.first_step},
       {"tokens", result.loop.tokens},
       {"seconds", result.loop.seconds},
       {"tokens_per_second", static_cast<double>(result.loop.tokens) / std::max(result.loop.seconds, 1e-9)},
       {"curve", curve},
       {"evaluations", evaluations}});
}

std::string report(const train::PretrainResult& result) {
  TextTable losses({"step", "loss", "tokens/s"}, "rrr");
  for (const train::LossPoint& point : result.curve) {
    losses.add_row({std::to_string(point.step), fmt::format("{:.4f}", point.loss),
                    fmt::format("{:.0f}", point.tokens_per_second)});
  }
  std::string text = losses.str();
  if (!result.loop.evaluations.empty()) {
    TextTable scores({"step", "score", "value"}, "rlr");
    for (const train::Evaluated& evaluated : result.loop.evaluations) {
      for (const auto& [name, value] : evaluated.scores)
        scores.add_row({std::to_string(evaluated.step), name, fmt::format("{:.4f}", value)});
    }
    text += scores.str();
  }
  return text +
         fmt::format("{}: {} steps, {:.1f} million tokens in {:.0f} s of training, {:.0f} tokens a second\n",
                     options.settings.out.string(), result.loop.steps,
                     static_cast<double>(result.loop.tokens) / 1e6, result.loop.seconds,
                     static_cast<double>(result.loop.tokens) / std::max(result.loop.seconds, 1e-9));
}

int run(const CommonOptions& common) {
  train::PretrainSettings& s = options.settings;
  s.threads = common.threads;
  take_sizes(s);
  s.loop.schedule = train::parse_schedule(options.schedule);
  s.loop.batches.seed = s.loop.seed;
  if (s.loop.eval_steps == 0) s.loop.eval_steps = s.loop.max_steps;
  s.evaluate = !options.no_eval;
  s.params.set("document_end", options.documents);
  s.params.set("cross_documents", options.cross_documents);
  s.params.set("shuffle_size", options.shuffle);
  s.params.set("hold_back", options.hold_back);
  s.params.set("eval_sequences", options.eval_sequences);
  s.params.set("mask_share", options.mask_share);
  s.params.set("max_predictions", options.max_predictions);
  s.params.set("whole_words", !options.no_whole_words);
  const auto tell = [&](const std::string& text) {
    if (!common.json && !common.quiet) print_text(text);
  };
  if (train::read_launch_environment().rank != 0) set_progress_style(ProgressStyle::kNone);
  const train::PretrainResult result = train::pretrain(s, tell);
  if (result.rank != 0) return kDone;
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
