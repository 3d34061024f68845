#include "train/pretrain.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/progress.h"
#include "base/thread_pool.h"
#include "io/model_folder.h"
#include "train/device.h"
#include "train/loop.h"
#include "train/settings_digest.h"
#include "train/step_estimate.h"
#include "train/training_folder.h"
#include "train/training_run.h"

namespace penjing::train {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kFirstEstimate = 10;  // steps

struct Start {
  Model model;
  std::shared_ptr<const Tokenizer> tokenizer;
};

// A fresh model's folder gets the tokenizer's files.
std::vector<SideFile> tokenizer_files(const fs::path& folder) {
  std::vector<SideFile> files;
  for (const char* name :
       {"tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"}) {
    const fs::path path = folder / name;
    if (fs::is_regular_file(path)) files.push_back({name, read_text_file(path, std::size_t{32} << 20)});
  }
  return files;
}

Start start_from(const Model& original) {
  Start start;
  start.model = original;
  start.tokenizer = Tokenizer::load(original.folder);
  const int64_t rows = original.description.embedding.vocab_size;
  if (start.tokenizer->vocab_size() > rows) {
    fail(ErrorKind::kFormat, "{}: the tokenizer has {} tokens, the embedding table {} rows",
         original.folder.string(), start.tokenizer->vocab_size(), rows);
  }
  return start;
}

Start read_start(const PretrainSettings& settings) {
  Start start;
  if (settings.model.empty()) {
    const fs::path source = resolve_model(settings.tokenizer.string());
    start.tokenizer = Tokenizer::load(source);
    if (settings.config.is_null()) {
      BertSizes sizes = settings.sizes;
      sizes.vocab_size = start.tokenizer->vocab_size();
      start.model = new_bert(sizes, settings.loop.seed);
    } else {
      Json config = settings.config;
      config.set("vocab_size", start.tokenizer->vocab_size());
      start.model = new_model(config, settings.loop.seed);
    }
    start.model.side_files = tokenizer_files(source);
    return start;
  }
  return start_from(read_model(resolve_model(settings.model)));
}

Json path_list(const std::vector<fs::path>& paths) {
  Json list = Json::array();
  for (const fs::path& path : paths) list.push_back(path.string());
  return list;
}

// What the steps tell: the loss curve, and once how long the rest will take.
class Watch {
 public:
  // A rehearsal's caller says how long all takes.
  Watch(const std::function<void(const std::string&)>& tell, bool rehearses)
      : tell_(tell), rehearses_(rehearses) {}

  void step(const StepLog& log) {
    ++steps_;
    loss_ += log.loss;
    stretch_tokens_ += log.tokens;
    stretch_seconds_ += log.seconds;
    ++stretch_steps_;
    if (steps_ <= kFirstEstimate) estimate_.add(log);
    if (!rehearses_ && steps_ == kFirstEstimate && log.total > log.step) {
      const auto rest = static_cast<double>(log.total - log.step);
      tell_(fmt::format(
          "{:.0f} tokens a second; {} steps of about {:.0f} tokens are left: {:.1f} million tokens "
          "in about {}\n",
          estimate_.tokens_per_second(), log.total - log.step, estimate_.tokens(),
          estimate_.tokens() * rest / 1e6, format_seconds(estimate_.seconds() * rest)));
    }
    const int64_t stretch = std::max<int64_t>(1, log.total / 20);
    if (log.step % stretch == 0 || log.step == log.total) {
      curve_.push_back({log.step, loss_ / static_cast<double>(stretch_steps_),
                        static_cast<double>(stretch_tokens_) / std::max(stretch_seconds_, 1e-9)});
      loss_ = stretch_seconds_ = 0;
      stretch_tokens_ = stretch_steps_ = 0;
    }
  }
  std::vector<LossPoint> curve() && { return std::move(curve_); }

 private:
  const std::function<void(const std::string&)>& tell_;
  const bool rehearses_;
  StepEstimate estimate_;
  int64_t steps_ = 0, stretch_steps_ = 0, stretch_tokens_ = 0;
  double loss_ = 0, stretch_seconds_ = 0;
  std::vector<LossPoint> curve_;
};

// What a run is resumed with must be what it was begun with; of the texts the stream's position tells.
Json describe_origin(const PretrainSettings& settings) {
  const BertSizes& s = settings.sizes;
  Json sizes = Json::array();
  for (const int64_t size : {s.layers, s.hidden, s.heads, s.intermediate, s.max_positions})
    sizes.push_back(size);
  Json origin = Json::object({{"model", settings.model},
                              {"sizes", settings.model.empty() && settings.config.is_null() ? sizes : Json()},
                              {"max_length", settings.max_length},
                              {"params", settings.params},
                              {"evaluate", settings.evaluate}});
  if (!settings.config.is_null()) origin.set("config", settings.config);
  return origin;
}

struct Trained {
  TrainedModel model;
  std::vector<LossPoint> curve;
  int64_t num_parameters = 0;
};

Trained train_model(const Start& start, const PretrainSettings& settings, const TrainingRun& run,
                    const std::function<void(const StepLog&)>& on_step) {
  Model model = start.model;
  ThreadPool pool(run.threads);
  at::set_num_threads(pool.num_threads());

  const int64_t most = model.description.max_positions - model.description.embedding.position.offset;
  if (settings.max_length > most) {
    fail(ErrorKind::kInput, "sequences of {} tokens; the model takes {} at most", settings.max_length, most);
  }
  ObjectiveInput input;
  input.data.pool = &pool;
  input.pool = &pool;
  input.max_length = settings.max_length;
  input.seed = settings.loop.seed;
  if (!settings.evaluate) input.eval_split.clear();
  input.params = settings.params;
  input.params.set("files", path_list(settings.data));
  if (!settings.eval_data.empty()) input.params.set("eval_files", path_list(settings.eval_data));
  const std::unique_ptr<Objective> objective =
      find_objective("masked-lm")->make(model, *start.tokenizer, input);
  run.tell(objective->summary());

  Network network;
  network.model = &model;
  network.parameters = load_parameters(model);
  network.encoder = std::make_unique<Encoder>(model.description, network.parameters);
  Trained trained;
  trained.num_parameters = network.parameters.num_elements();
  run.tell(fmt::format("{}: {:.1f} million parameters, {} layers, hidden size {}\n",
                       settings.model.empty() ? "a fresh model" : settings.model,
                       static_cast<double>(trained.num_parameters) / 1e6, model.description.num_layers,
                       model.description.hidden_size));

  network.parameters.move_to(require_device(settings.loop, false));

  LoopSettings loop = settings.loop;
  loop.folder = run.folder;
  loop.origin = describe_origin(settings);
  Watch watch(run.tell, settings.loop.rehearsal > 0);
  trained.model.loop =
      train(network, *objective, loop, settings.resume, run.communicator, [&](const StepLog& log) {
        watch.step(log);
        if (on_step) on_step(log);
      });
  if (loop.rehearsal > 0) return trained;
  trained.curve = std::move(watch).curve();

  store_parameters(network.parameters, model);
  trained.model.details =
      Json::object({{"data", path_list(settings.data)}, {"max_length", settings.max_length}});
  describe_training(loop, trained.model.loop, trained.model.details);
  trained.model.model = std::move(model);
  return trained;
}

}  // namespace

PretrainResult pretrain(const PretrainSettings& settings, const std::function<void(const std::string&)>& tell,
                        const std::function<void(const StepLog&)>& on_step) {
  (void)require_device(settings.loop, false);
  PretrainResult result;
  const bool rehearses = settings.loop.rehearsal > 0;
  result.training_folder = training_folder(settings.out);
  result.rank = run_in_training_folder(
      {settings.threads, settings.timeout, settings.bucket_bytes}, rehearses ? fs::path() : settings.out,
      settings.resume, tell, [&](const TrainingRun& run) {
        const Start start = read_start(settings);
        Trained trained = train_model(start, settings, run, on_step);
        if (!rehearses) {
          on_first(run.communicator,
                   [&] { write_trained_model(trained.model, start.model, "pretrain", settings.out); });
        }
        result.loop = trained.model.loop;
        result.curve = std::move(trained.curve);
        result.num_parameters = trained.num_parameters;
      });
  return result;
}

TrainedModel pretrain_step(const Model& original, const PretrainSettings& settings, const fs::path& folder,
                           const std::function<void(const std::string&)>& tell) {
  (void)require_device(settings.loop, false);
  PretrainSettings own = settings;
  own.resume = enter_step_folder(folder);
  return train_model(start_from(original), own, {settings.threads, nullptr, folder, tell}, {}).model;
}

}  // namespace penjing::train
