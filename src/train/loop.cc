#include "train/loop.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "train/checkpoint.h"
#include "train/evaluated.h"
#include "train/example_tokens.h"
#include "train/fake_quant.h"
#include "train/loss_scaler.h"
#include "train/parameter_rules.h"
#include "train/rank_agreement.h"
#include "train/ranks.h"
#include "train/settings_digest.h"
#include "train/step_dump.h"
#include "train/step_recorder.h"
#include "train/train_log.h"
#include "train/weight_average.h"

namespace penjing::train {

namespace {

constexpr int64_t kFirstSteps = 4;  // of each group, that the objective looks at before the first

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A run in progress.
class Run {
 public:
  Run(Network& network, Objective& objective, const LoopSettings& settings, Communicator* communicator,
      LinearFakeQuantizer* quantizer)
      : network_(network),
        objective_(objective),
        settings_(settings),
        communicator_(communicator),
        quantizer_(quantizer),
        batches_(batches_of(objective, settings.batches)),
        arithmetic_(make_arithmetic(settings.precision)),
        exact_(make_arithmetic("fp32")),
        optimizer_(make_optimizer(settings.optimizer)),
        rules_(make_rules(network.parameters, network.model->description, settings.rules)),
        layers_(layers_of(network.parameters, network.model->description)) {
    if (!(settings.epochs > 0)) fail(ErrorKind::kInput, "{} epochs", settings.epochs);
    if (!batches_ && settings.max_steps <= 0) {
      fail(ErrorKind::kInput, "how long a stream of texts is cannot be told: a number of steps is wanted");
    }
    total_ = settings.max_steps > 0 ? settings.max_steps : steps_of(settings.epochs);
    schedule_ = {settings.schedule,
                 static_cast<int64_t>(std::ceil(settings.warmup * static_cast<double>(total_))), total_};
    const std::string scaling = !settings.loss_scaling.empty() ? settings.loss_scaling
                                : find_precision(settings.precision).needs_loss_scaling ? "pytorch"
                                                                                        : "none";
    if (scaling != "none") scaler_.emplace(parse_loss_scaling(scaling));
    if (settings.average > 0) average_.emplace(network.parameters, settings.average);
    std::size_t i = 0;
    for (const Parameters::Entry& entry : network.parameters) {
      at::Tensor tensor = entry.tensor;  // shares the parameter
      tensor.set_requires_grad(!rules_[i++].frozen);
    }
    if (std::all_of(rules_.begin(), rules_.end(), [](const ParameterRule& rule) { return rule.frozen; })) {
      fail(ErrorKind::kInput, "every parameter is frozen: there is nothing to train");
    }
    if (!settings.dump.empty() && rank() == 0) dump_.emplace(settings.dump);
    if (communicator != nullptr) communicator->watch(network.parameters);
  }

  void restore(const TrainingState& state) {
    const Json mine = Json::parse(digest_settings(settings_).dump(), "settings");  // as a file would have it
    const Json* digest = state.json.find("settings");
    if (digest == nullptr || !(*digest == mine)) {
      fail(ErrorKind::kInput,
           "{}: the checkpoints are of a run with other settings{}; choose another --out, or remove it",
           settings_.folder.string(),
           digest == nullptr ? "" : " (" + describe_differences(*digest, mine) + ")");
    }
    load_parameters_from(state.parameters, network_.parameters);
    optimizer_->load(network_.parameters, state.optimizer);
    if (average_) average_->load(network_.parameters, state.average);
    const std::string where = "trainer_state.json";
    const auto field = [&](const Json& in, const char* name) -> const Json& {
      const Json* value = in.find(name);
      if (value == nullptr) fail(ErrorKind::kFormat, "{}: no {}", where, name);
      return *value;
    };
    objective_.restore(field(state.json, "objective"));
    objective_.restore_tensors(state.objective);
    step_ = state.step;
    evaluated_ = field(state.json, "evaluated").as_bool(where);
    best_step_ = field(state.json, "best_step").as_int(where);
    best_score_ = read_number(field(state.json, "best_score"), where);
    worse_ = static_cast<int>(field(state.json, "worse").as_int(where));
    result_.stopped_early = settings_.patience > 0 && worse_ >= settings_.patience;
    epoch_loss_ = field(state.json, "epoch_loss").as_double(where);
    epoch_steps_ = field(state.json, "epoch_steps").as_int(where);
    result_.first_step = step_;
    result_.evaluations = read_evaluations(field(state.json, "evaluations"), where);
    if (scaler_) scaler_->restore(field(state.json, "scaler"));
    if (quantizer_ != nullptr) quantizer_->restore(field(state.json, "quantizer"));
    const Json* device = state.json.find("device");  // those of older programs name none
    const std::string before = device == nullptr ? "cpu" : device->as_string(where);
    if (before != this->device()) {
      log_warning("the run was on the device {}, now {}: from here on the result differs in the last bits",
                  before, this->device());
    }
    if (field(state.json, "threads").as_int(where) != at::get_num_threads()) {
      log_warning("the run had {} threads, now {}: the result may differ in the last bits",
                  field(state.json, "threads").as_int(where), at::get_num_threads());
    }
  }

  LoopResult run(const std::function<void(const StepLog&)>& on_step) {
    if (communicator_ != nullptr) {
      const std::vector<int64_t> lengths =
          batches_ ? tokens_of(objective_, all_examples(objective_)) : std::vector<int64_t>();
      require_same_start(*communicator_, network_.parameters, settings_, lengths, step_);
    }
    open_log();
    std::optional<Progress> progress;  // the log has its own
    const int64_t last = settings_.rehearsal > 0 ? std::min(total_, settings_.rehearsal) : total_;
    if (!log_ && rank() == 0) progress.emplace("training", last, "steps", step_);
    if (step_ == 0 && batches_) begin_objective();
    saved_at_ = now();
    if (!evaluated_) finish_step();  // what the interrupted process had no time for
    while (step_ < last && !result_.stopped_early) {
      if (communicator_ == nullptr ? interrupted() : rank_interrupted_) {
        save();
        throw Interrupted{};
      }
      const StepLog log = take_step();
      result_.tokens += log.tokens;
      result_.seconds += log.seconds;
      if (progress) progress->advance();
      if (on_step) on_step(log);
      log_step(log);
      if (settings_.rehearsal == 0) finish_step();
    }
    result_.steps = step_;
    if (settings_.rehearsal > 0) result_.checkpoint_bytes = checkpoint_bytes();
    result_.loss = epoch_loss_ / static_cast<double>(std::max<int64_t>(1, epoch_steps_));
    if (settings_.keep_best && best_step_ >= 0 && best_step_ != step_) {
      load_parameters_from(read_best(), network_.parameters);
    } else if (average_) {
      average_->exchange(network_.parameters);
    }
    return result_;
  }

 private:
  // What is due after a step: an evaluation, a checkpoint.
  void finish_step() {
    const bool end_of_epoch = step_ == total_ || (batches_ && batches_->place(step_).step == 0);
    const bool by_steps = settings_.eval_steps > 0;
    const bool due = by_steps ? step_ % settings_.eval_steps == 0 || step_ == total_ : end_of_epoch;
    if (objective_.has_evaluation() && due) {
      evaluated_ = false;
      try {
        evaluate();
      } catch (const Interrupted&) {
        save();
        throw;
      }
    }
    evaluated_ = true;
    if (end_of_epoch && step_ < total_ && !result_.stopped_early) {
      epoch_loss_ = 0;
      epoch_steps_ = 0;
    }
    const bool save_by_steps = settings_.save_steps > 0 && step_ % settings_.save_steps == 0;
    if (step_ < total_ && (save_by_steps || time_to_save_)) save();
  }

  void begin_objective() {
    std::vector<std::vector<int64_t>> steps;
    for (const int64_t step : batches_->first_of_groups(kFirstSteps, total_)) {
      const std::span<const int64_t> examples = batches_->examples(step);
      const auto parts = split_by_tokens(examples, tokens_of(objective_, examples), tokens_together());
      steps.emplace_back(parts.front().begin(), parts.front().end());
    }
    const Json found = objective_.begin(network_, context(true), steps);
    if (log_ && !found.as_object("begin").empty()) log_->log_event(step_, "begin", found);
  }

  ForwardContext context(bool training) const {
    const DropoutRates own = dropout_rates(network_.model->config);
    ForwardContext context;
    context.arithmetic = arithmetic_.get();
    context.training = training;
    context.hidden_dropout = settings_.hidden_dropout < 0 ? own.hidden : settings_.hidden_dropout;
    context.attention_dropout = settings_.attention_dropout < 0 ? own.attention : settings_.attention_dropout;
    context.classifier_dropout =
        settings_.classifier_dropout < 0 ? own.classifier : settings_.classifier_dropout;
    context.random = {settings_.seed, static_cast<uint64_t>(step_)};
    context.progress = progress();
    if (training) context.tap = recorder_.get();
    if (quantizer_ != nullptr) {
      quantizer_->set_training(training);
      if (!training) context.arithmetic = exact_.get();  // as the runtime: FP32 between the integer products
      context.quantizer = quantizer_;
    }
    return context;
  }

  double progress() const {
    return static_cast<double>(step_) / static_cast<double>(std::max<int64_t>(1, total_));
  }

  int64_t steps_of(double epochs) {
    const auto whole = static_cast<int64_t>(std::floor(epochs));
    const double part = epochs - static_cast<double>(whole);
    const int64_t full = batches_->num_steps(whole);
    return full +
           static_cast<int64_t>(std::ceil(part * static_cast<double>(batches_->num_steps(whole + 1) - full)));
  }

  // Of the step to come, over all ranks.
  std::vector<int64_t> next_examples() {
    if (!batches_) return objective_.next_examples(settings_.batches);
    const std::span<const int64_t> examples = batches_->examples(step_);
    return {examples.begin(), examples.end()};
  }

  // Times through the data before step_.
  double epoch() {
    if (!batches_) return objective_.epoch();
    const Batches::Place place = batches_->place(step_);
    const int64_t before = batches_->num_steps(place.epoch), after = batches_->num_steps(place.epoch + 1);
    return static_cast<double>(place.epoch) +
           static_cast<double>(place.step) / static_cast<double>(after - before);
  }

  int rank() const { return communicator_ == nullptr ? 0 : communicator_->rank(); }
  // Without a number: one GPU computes as the other.
  std::string device() const { return at::DeviceTypeName(network_.device().type(), true); }

  // In one call of the objective.
  int64_t tokens_together() const {
    return objective_.is_sum() ? settings_.micro_tokens : std::numeric_limits<int64_t>::max();
  }

  // Gradients of the step's mean loss; returns the loss and the tokens of all ranks.
  std::pair<double, int64_t> accumulate(std::span<const int64_t> examples) {
    double weight = 0;
    for (const int64_t i : examples) weight += objective_.weight(i);
    if (!(weight >= 0)) fail(ErrorKind::kInput, "step {}: its examples' weights sum to {}", step_, weight);
    if (weight == 0) weight = 1;  // nothing counts in this step: its loss and gradients are 0
    const std::vector<int64_t> mine =
        shard(examples, rank(), communicator_ == nullptr ? 1 : communicator_->size());
    const auto parts = split_by_tokens(mine, tokens_of(objective_, mine), tokens_together());
    const auto epoch_number = static_cast<int64_t>(epoch());
    double loss = 0;
    time_to_save_ = settings_.save_minutes > 0 && now() - saved_at_ > 60 * settings_.save_minutes;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      const LossSum part = objective_.loss(network_, context(true), parts[p], epoch_number);
      loss += part.sum.item<double>() / weight;
      const double share = static_cast<double>(parts[p].size()) / static_cast<double>(mine.size());
      for (const auto& [name, value] : part.details) details_[name] += share * value;
      if (communicator_ != nullptr && p + 1 == parts.size()) communicator_->begin_last_backward();
      (part.sum * ((scaler_ ? scaler_->scale() : 1) / weight)).backward();
    }
    if (communicator_ != nullptr) {
      communicator_->finish_gradients();
      // What a rank alone knows is decided for all: a signal to any of them, the clock of rank 0.
      std::vector<double> sums = {loss, interrupted() ? 1.0 : 0.0, rank() == 0 && time_to_save_ ? 1.0 : 0.0};
      communicator_->sum(sums);
      loss = sums[0];
      rank_interrupted_ = sums[1] > 0;
      time_to_save_ = sums[2] > 0;
    }
    const std::vector<int64_t> tokens = tokens_of(objective_, examples);
    return {loss, std::accumulate(tokens.begin(), tokens.end(), int64_t{0})};
  }

  double gradient_norm() const {
    std::vector<at::Tensor> norms;  // brought to the CPU together: a device is waited for once
    for (const Parameters::Entry& entry : network_.parameters) {
      if (entry.tensor.grad().defined()) norms.push_back(entry.tensor.grad().norm());
    }
    if (norms.empty()) return 0;
    const at::Tensor all = at::stack(norms).to(at::kCPU, at::kDouble);
    double sum = 0;
    for (int64_t i = 0; i < all.numel(); ++i) sum += all.data_ptr<double>()[i] * all.data_ptr<double>()[i];
    return std::sqrt(sum);
  }

  // Divides the loss scale out; false when a gradient is not finite and the step must be left out.
  bool unscale() {
    if (!scaler_) return true;
    const LossScaler::Verdict verdict = scaler_->unscale_and_check(network_.parameters, arithmetic_.get());
    scaler_->update(verdict.finite);
    if (!verdict.finite) {
      Json tensors = Json::array();
      for (const OverflowReport& report : verdict.reports) tensors.push_back(report.to_json());
      log_warning("step {} left out: {}; the loss scale is now {}", step_ + 1,
                  verdict.reports.empty() ? "a gradient is not finite" : verdict.reports.front().text(),
                  scaler_->scale());
      if (log_)
        log_->log_event(step_ + 1, "overflow",
                        Json::object({{"tensors", tensors}, {"scale", scaler_->scale()}}));
    }
    return verdict.finite;
  }

  void update(double learning_rate, double gradient_scale) {
    if (recorder_) recorder_->before_update(network_.parameters);
    const auto rate = [&](int64_t layer) { return objective_.layer_rate(layer, progress()); };
    optimizer_->step(network_.parameters, scale_rates(rules_, layers_, rate), learning_rate, gradient_scale);
    if (recorder_) recorder_->after_update(network_.parameters);
    if (average_) average_->update(network_.parameters);
  }

  // Means since the line before, every log_steps steps and at the end of the run.
  void log_step(const StepLog& step) {
    if (!log_) return;
    if (std::isfinite(step.loss)) {  // else it was left out
      since_.loss += step.loss;
      ++since_steps_;
      for (const auto& [name, value] : step.details) since_.details[name] += value, ++since_told_[name];
    }
    since_.tokens += step.tokens;
    since_.seconds += step.seconds;
    if (step.step % settings_.log_steps != 0 && step.step != total_) return;
    since_.step = step.step;
    since_.epoch = step.epoch;
    since_.learning_rate = step.learning_rate;
    since_.gradient_norm = step.gradient_norm;
    if (scaler_) since_.scale = step.scale;
    const auto steps = static_cast<double>(std::max<int64_t>(1, since_steps_));
    since_.loss /= steps;
    for (auto& [name, value] : since_.details) value /= static_cast<double>(since_told_.at(name));
    log_->log_step(since_);
    since_ = {};
    since_told_.clear();
    since_steps_ = 0;
  }

  void open_log() {
    if (settings_.folder.empty() || rank() != 0) return;
    TrainLogOptions options;
    options.total_steps = total_;
    options.label = "training";
    const bool begun =
        std::filesystem::exists(settings_.folder / "train.jsonl");  // killed before its first checkpoint
    if (begun) options.resumed_after = step_;
    log_.emplace(settings_.folder, options);
    if (!begun) log_->log_settings(digest_settings(settings_));
  }

  StepLog take_step() {
    const double begin = now();
    StepLog log;
    log.total = total_;
    network_.parameters.zero_gradients();
    const std::vector<int64_t> examples = next_examples();
    recorder_.reset();
    if (settings_.record_step == step_ + 1 && rank() == 0) {
      recorder_ =
          std::make_unique<StepRecorder>(step_ + 1, settings_.precision, scaler_ ? scaler_->scale() : 1);
    }
    details_.clear();
    (void)arithmetic_->take_overflows();  // those of an evaluation are not this step's
    std::tie(log.loss, log.tokens) = accumulate(examples);
    log.details = details_;
    if (scaler_) log.scale = scaler_->scale();
    const bool finite = unscale();
    if (recorder_) recorder_->on_gradients(network_.parameters);
    log.gradient_norm = gradient_norm();
    if (finite && (!std::isfinite(log.loss) || !std::isfinite(log.gradient_norm))) {
      fail(ErrorKind::kFormat,
           "step {}: the loss is {} and the norm of the gradients {}: training has diverged (a lower "
           "learning rate, "
           "or more warm-up?)",
           step_, log.loss, log.gradient_norm);
    }
    if (dump_ && step_ == 0) dump_->write_gradients(network_.parameters);
    const double scale =
        settings_.clip_norm > 0 ? std::min(1.0, settings_.clip_norm / (log.gradient_norm + 1e-6)) : 1;
    log.learning_rate = settings_.learning_rate * schedule_.factor(step_);
    if (finite) update(log.learning_rate, scale);
    if (recorder_ && !settings_.folder.empty()) write_step_record(settings_.folder, recorder_->record());
    recorder_.reset();
    ++step_;
    if (finite) {
      epoch_loss_ += log.loss;
      ++epoch_steps_;
    }
    log.step = step_;
    log.epoch = epoch();
    log.seconds = now() - begin;
    if (dump_ && dump_->wants(log.step)) {
      dump_->write_step(log, examples, objective_, network_.parameters);
    }
    return log;
  }

  // The average in the weights' place, for as long as it lives.
  class Averaged {
   public:
    explicit Averaged(Run& run) : run_(run) { exchange(); }
    ~Averaged() { exchange(); }
    Averaged(const Averaged&) = delete;
    Averaged& operator=(const Averaged&) = delete;

   private:
    void exchange() {
      if (run_.average_) run_.average_->exchange(run_.network_.parameters);
    }
    Run& run_;
  };

  // Rank 0's, on every rank. A signal to rank 0 interrupts them all.
  std::vector<std::pair<std::string, double>> score() {
    constexpr const char* kInterrupted = "!";
    std::string names;  // each with a line's end
    std::vector<double> values;
    on_first(communicator_, [&] {
      try {
        const TaskResult task = objective_.evaluate(network_, context(false));
        const bool says = !task.outputs.empty() || !task.texts.empty();  // not where tasks are several
        if (!settings_.folder.empty() && says)
          write_predictions(settings_.folder / "predictions.jsonl", task);
        std::vector<std::size_t> all(task.num_examples);
        std::iota(all.begin(), all.end(), 0);
        for (const Metric& metric : task.metrics) {
          names += metric.name + "\n";
          values.push_back(metric.value(all));
        }
      } catch (const Interrupted&) {
        names = kInterrupted;
      }
    });
    if (communicator_ != nullptr) names = communicator_->gather(names)[0];
    if (names == kInterrupted) throw Interrupted{};
    values.resize(static_cast<std::size_t>(std::count(names.begin(), names.end(), '\n')), 0);
    if (communicator_ != nullptr) communicator_->sum(values);
    std::vector<std::pair<std::string, double>> scores;
    for (const double value : values) {
      const std::size_t end = names.find('\n');
      scores.emplace_back(names.substr(0, end), value);
      names.erase(0, end + 1);
    }
    return scores;
  }

  void evaluate() {
    const Averaged averaged(*this);
    Evaluated evaluated;
    evaluated.step = step_;
    evaluated.epoch = epoch();
    evaluated.scores = score();
    std::optional<double> decisive;
    for (const auto& [name, value] : evaluated.scores) {
      const bool decides = settings_.metric.empty() ? !decisive : name == settings_.metric;
      if (decides) decisive = value;
    }
    if (!decisive) {
      std::string names;
      for (const auto& [name, value] : evaluated.scores) names += (names.empty() ? "" : ", ") + name;
      fail(ErrorKind::kInput, "metric \"{}\"; the task has {}", settings_.metric, names);
    }
    if (log_) {
      std::vector<TrainLog::Score> scores;
      for (const auto& [name, value] : evaluated.scores) scores.push_back({name, value});
      log_->log_scores(step_, evaluated.epoch, "dev", scores);
    }
    result_.evaluations.push_back(std::move(evaluated));
    if (best_step_ < 0 || *decisive > best_score_ || std::isnan(best_score_)) {
      best_step_ = step_;
      best_score_ = *decisive;
      worse_ = 0;
      if (settings_.keep_best) write_best();
    } else if (settings_.patience > 0 && ++worse_ >= settings_.patience) {
      result_.stopped_early = true;
    }
  }

  // The best weights lie in memory, and in the folder for a resumed run.
  void write_best() {
    best_ = save_parameters(network_.parameters);
    if (settings_.folder.empty()) return;
    on_first(communicator_, [&] {
      TrainingState state;
      state.step = step_;
      state.parameters = best_;
      write_checkpoint(settings_.folder / "best", state);
      remove_old_checkpoints(settings_.folder / "best", 1);
    });
  }
  TensorMap read_best() const {
    if (best_.size() > 0) return best_;
    const auto state = read_newest_checkpoint(settings_.folder / "best");
    if (!state || state->step != best_step_) {
      fail(ErrorKind::kFormat, "{}: the best weights, of step {}, are not there", settings_.folder.string(),
           best_step_);
    }
    return state->parameters;
  }

  int64_t checkpoint_bytes() const {
    const int64_t weights = network_.parameters.num_elements() * static_cast<int64_t>(sizeof(float));
    const int64_t bytes = weights * (average_ ? 2 : 1) + optimizer_->num_bytes();
    return bytes * (settings_.keep + 1);  // one more while the newest is written
  }

  void save() {
    saved_at_ = now();
    if (settings_.folder.empty()) return;
    on_first(communicator_, [&] {
      TrainingState state;
      state.step = step_;
      state.parameters = save_parameters(network_.parameters);
      state.optimizer = optimizer_->save();
      if (average_) state.average = average_->save(network_.parameters);
      state.objective = objective_.tensors();
      state.json = Json::object({{"settings", digest_settings(settings_)},
                                 {"objective", objective_.state()},
                                 {"scaler", scaler_ ? scaler_->state() : Json()},
                                 {"quantizer", quantizer_ != nullptr ? quantizer_->state() : Json()},
                                 {"threads", at::get_num_threads()},
                                 {"device", device()},
                                 {"evaluated", evaluated_},
                                 {"best_step", best_step_},
                                 {"best_score", best_step_ < 0 ? Json() : Json(best_score_)},
                                 {"worse", worse_},
                                 {"epoch_loss", epoch_loss_},
                                 {"epoch_steps", epoch_steps_},
                                 {"evaluations", to_json(result_.evaluations)}});
      write_checkpoint(settings_.folder, state);
      remove_old_checkpoints(settings_.folder, settings_.keep);
    });
  }

  Network& network_;
  Objective& objective_;
  const LoopSettings& settings_;
  Communicator* communicator_;
  LinearFakeQuantizer* quantizer_;
  std::optional<Batches> batches_;  // not of a stream
  std::unique_ptr<Arithmetic> arithmetic_;
  std::unique_ptr<Arithmetic> exact_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<ParameterRule> rules_;
  std::vector<int64_t> layers_;  // of each parameter
  std::optional<WeightAverage> average_;
  Schedule schedule_;
  int64_t total_ = 0, step_ = 0;
  int64_t best_step_ = -1;
  double best_score_ = 0;
  int worse_ = 0;
  TensorMap best_;
  bool evaluated_ = true;  // the evaluation that is due after step_ is done
  std::optional<StepDump> dump_;
  double epoch_loss_ = 0;
  int64_t epoch_steps_ = 0;
  double saved_at_ = 0;
  std::optional<LossScaler> scaler_;
  std::unique_ptr<StepRecorder> recorder_;  // of the step in progress, when it is the one to be recorded
  std::optional<TrainLog> log_;
  LoggedStep since_;                           // sums since the last line of the log
  std::map<std::string, int64_t> since_told_;  // of its details: steps that had one
  std::map<std::string, double> details_;      // of the step in progress
  int64_t since_steps_ = 0;
  bool time_to_save_ = false, rank_interrupted_ = false;
  LoopResult result_;
};

}  // namespace

LoopResult train(Network& network, Objective& objective, const LoopSettings& settings, bool resume,
                 Communicator* communicator, const std::function<void(const StepLog&)>& on_step,
                 LinearFakeQuantizer* quantizer) {
  Run run(network, objective, settings, communicator, quantizer);
  if (!settings.folder.empty()) {
    const auto state = resume ? read_newest_checkpoint(settings.folder) : std::nullopt;
    if (state) run.restore(*state);
    if (communicator == nullptr || communicator->rank() == 0) {
      clear_leftovers(settings.folder);
      remove_checkpoints_after(settings.folder, state ? state->step : -1);
      // The best weights of a run that was killed before its first checkpoint are of no use to this one.
      const std::filesystem::path best = settings.folder / "best";
      clear_leftovers(best);
      if (!state) remove_checkpoints_after(best, -1);
    }
  }
  return run.run(on_step);
}

}  // namespace penjing::train
