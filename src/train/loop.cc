#include "train/loop.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "train/checkpoint.h"
#include "train/parameter_rules.h"
#include "train/rank_agreement.h"
#include "train/weight_average.h"

namespace penjing::train {

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<int64_t> tokens_of(const Objective& objective, std::span<const int64_t> examples) {
  std::vector<int64_t> tokens;
  for (const int64_t i : examples) {
    int64_t sum = 0;
    for (const Sequence& sequence : objective.sequences(i)) sum += static_cast<int64_t>(sequence.ids.size());
    tokens.push_back(sum);
  }
  return tokens;
}

std::vector<int64_t> all_examples(const Objective& objective) {
  std::vector<int64_t> all(static_cast<std::size_t>(objective.num_examples()));
  std::iota(all.begin(), all.end(), int64_t{0});
  return all;
}

std::optional<Batches> batches_of(const Objective& objective, const Batches::Settings& settings) {
  if (objective.is_stream()) return std::nullopt;
  return Batches(tokens_of(objective, all_examples(objective)), settings);
}

// A run in progress.
class Run {
 public:
  Run(Network& network, Objective& objective, const LoopSettings& settings, Communicator* communicator)
      : network_(network),
        objective_(objective),
        settings_(settings),
        communicator_(communicator),
        batches_(batches_of(objective, settings.batches)),
        arithmetic_(make_arithmetic(settings.precision)),
        optimizer_(make_optimizer(settings.optimizer)),
        rules_(make_rules(network.parameters, network.model->description, settings.rules)) {
    if (!(settings.epochs > 0)) fail(ErrorKind::kInput, "{} epochs", settings.epochs);
    if (!batches_ && settings.max_steps <= 0) {
      fail(ErrorKind::kInput, "how long a stream of texts is cannot be told: a number of steps is wanted");
    }
    total_ = settings.max_steps > 0 ? settings.max_steps : steps_of(settings.epochs);
    schedule_ = {settings.schedule,
                 static_cast<int64_t>(std::llround(settings.warmup * static_cast<double>(total_))), total_};
    if (settings.average > 0) average_.emplace(network.parameters, settings.average);
    std::size_t i = 0;
    for (const Parameters::Entry& entry : network.parameters) {
      at::Tensor tensor = entry.tensor;  // shares the parameter
      tensor.set_requires_grad(!rules_[i++].frozen);
    }
    if (communicator != nullptr) communicator->watch(network.parameters);
  }

  void restore(const TrainingState& state) {
    const Json* digest = state.json.find("settings");
    const Json mine = Json::parse(digest_settings(settings_).dump(), "settings");  // as a file would have it
    if (digest == nullptr || !(*digest == mine)) {
      fail(ErrorKind::kInput,
           "{}: the checkpoints are of a run with other settings; choose another --out, or remove it",
           settings_.folder.string());
    }
    load_parameters_from(state.parameters, network_.parameters);
    optimizer_->load(network_.parameters, state.optimizer);
    if (average_) average_->load(network_.parameters, state.average);
    objective_.restore(*state.json.find("objective"));
    const std::string where = "trainer_state.json";
    step_ = state.step;
    best_step_ = state.json.find("best_step")->as_int(where);
    best_score_ =
        state.json.find("best_score")->is_null() ? 0 : state.json.find("best_score")->as_double(where);
    worse_ = static_cast<int>(state.json.find("worse")->as_int(where));
    epoch_loss_ = state.json.find("epoch_loss")->as_double(where);
    epoch_steps_ = state.json.find("epoch_steps")->as_int(where);
    result_.first_step = step_;
    for (const Json& item : state.json.find("evaluations")->as_array(where)) {
      Evaluated evaluated;
      evaluated.step = item.find("step")->as_int(where);
      evaluated.epoch = item.find("epoch")->as_double(where);
      for (const auto& [name, value] : item.find("scores")->as_object(where)) {
        evaluated.scores.emplace_back(name, value.as_double(where));
      }
      result_.evaluations.push_back(std::move(evaluated));
    }
  }

  LoopResult run(const std::function<void(const StepLog&)>& on_step) {
    Progress progress("training", total_ - step_, "steps");
    saved_at_ = now();
    if (communicator_ != nullptr) {
      const std::vector<int64_t> lengths =
          batches_ ? tokens_of(objective_, all_examples(objective_)) : std::vector<int64_t>();
      require_same_start(*communicator_, network_.parameters, settings_, lengths, step_);
    }
    while (step_ < total_ && !result_.stopped_early) {
      if (communicator_ == nullptr ? interrupted() : rank_interrupted_) {
        save();
        throw Interrupted{};
      }
      const StepLog log = take_step();
      result_.tokens += log.tokens;
      result_.seconds += log.seconds;
      progress.advance();
      if (on_step) on_step(log);
      const bool end_of_epoch = step_ == total_ || (batches_ && batches_->place(step_).step == 0);
      const bool at_interval = settings_.eval_steps > 0 && step_ % settings_.eval_steps == 0;
      if (objective_.has_evaluation() &&
          (settings_.eval_steps > 0 ? at_interval || step_ == total_ : end_of_epoch)) {
        evaluate();
      }
      const bool save_by_steps = settings_.save_steps > 0 && step_ % settings_.save_steps == 0;
      if (step_ < total_ && (save_by_steps || time_to_save_)) save();
      if (end_of_epoch && step_ < total_) {
        epoch_loss_ = 0;
        epoch_steps_ = 0;
      }
    }
    result_.steps = step_;
    result_.loss = epoch_loss_ / static_cast<double>(std::max<int64_t>(1, epoch_steps_));
    if (settings_.keep_best && best_step_ >= 0 && best_step_ != step_) {
      load_parameters_from(read_best(), network_.parameters);
    } else if (average_) {
      average_->exchange(network_.parameters);
    }
    return result_;
  }

 private:
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
    return context;
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

  // Gradients of the step's mean loss; returns the loss and the tokens of all ranks.
  std::pair<double, int64_t> accumulate(std::span<const int64_t> examples) {
    double weight = 0;
    for (const int64_t i : examples) weight += objective_.weight(i);
    const std::vector<int64_t> mine =
        shard(examples, rank(), communicator_ == nullptr ? 1 : communicator_->size());
    const int64_t most = objective_.is_sum() ? settings_.micro_tokens : std::numeric_limits<int64_t>::max();
    const auto parts = split_by_tokens(mine, tokens_of(objective_, mine), most);
    const auto epoch_number = static_cast<int64_t>(epoch());
    double loss = 0;
    time_to_save_ = settings_.save_minutes > 0 && now() - saved_at_ > 60 * settings_.save_minutes;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      const LossSum part = objective_.loss(network_, context(true), parts[p], epoch_number);
      loss += part.sum.item<double>() / weight;
      if (communicator_ != nullptr && p + 1 == parts.size()) communicator_->begin_last_backward();
      (part.sum / weight).backward();
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
    double sum = 0;
    for (const Parameters::Entry& entry : network_.parameters) {
      if (!entry.tensor.grad().defined()) continue;
      const double norm = entry.tensor.grad().norm().item<double>();
      sum += norm * norm;
    }
    return std::sqrt(sum);
  }

  StepLog take_step() {
    const double begin = now();
    StepLog log;
    log.total = total_;
    network_.parameters.zero_gradients();
    std::tie(log.loss, log.tokens) = accumulate(next_examples());
    log.gradient_norm = gradient_norm();
    if (!std::isfinite(log.loss) || !std::isfinite(log.gradient_norm)) {
      fail(ErrorKind::kFormat,
           "step {}: the loss is {} and the norm of the gradients {}: training has diverged (a lower "
           "learning rate, "
           "or more warm-up?)",
           step_, log.loss, log.gradient_norm);
    }
    const double scale =
        settings_.clip_norm > 0 ? std::min(1.0, settings_.clip_norm / (log.gradient_norm + 1e-6)) : 1;
    log.learning_rate = settings_.learning_rate * schedule_.factor(step_);
    optimizer_->step(network_.parameters, rules_, log.learning_rate, scale);
    if (average_) average_->update(network_.parameters);
    ++step_;
    epoch_loss_ += log.loss;
    ++epoch_steps_;
    log.step = step_;
    log.epoch = epoch();
    log.seconds = now() - begin;
    return log;
  }

  // Rank 0 does it while the others wait.
  void on_first(const std::function<void()>& work) {
    if (communicator_ == nullptr) return work();
    communicator_->on_first(work);
  }

  // The same on all ranks: those of rank 0.
  std::vector<std::pair<std::string, double>> score() {
    std::string names;
    std::vector<double> values;
    on_first([&] {
      const TaskResult task = objective_.evaluate(network_, context(false));
      std::vector<std::size_t> all(task.num_examples);
      std::iota(all.begin(), all.end(), 0);
      for (const Metric& metric : task.metrics) {
        names += metric.name + "\n";
        values.push_back(metric.value(all));
      }
    });
    if (communicator_ != nullptr) {
      names = communicator_->gather(names)[0];
      values.resize(static_cast<std::size_t>(std::count(names.begin(), names.end(), '\n')), 0);
      communicator_->sum(values);
    }
    std::vector<std::pair<std::string, double>> scores;
    for (const double value : values) {
      const std::size_t end = names.find('\n');
      scores.emplace_back(names.substr(0, end), value);
      names.erase(0, end + 1);
    }
    return scores;
  }

  void evaluate() {
    if (average_) average_->exchange(network_.parameters);
    Evaluated evaluated;
    evaluated.step = step_;
    evaluated.epoch = epoch();
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
    result_.evaluations.push_back(std::move(evaluated));
    if (best_step_ < 0 || *decisive > best_score_) {
      best_step_ = step_;
      best_score_ = *decisive;
      worse_ = 0;
      if (settings_.keep_best) write_best();
    } else if (settings_.patience > 0 && ++worse_ >= settings_.patience) {
      result_.stopped_early = true;
    }
    if (average_) average_->exchange(network_.parameters);
  }

  // The best weights lie in memory, and in the folder for a resumed run.
  void write_best() {
    best_ = save_parameters(network_.parameters);
    if (settings_.folder.empty()) return;
    on_first([&] {
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

  void save() {
    saved_at_ = now();
    if (settings_.folder.empty()) return;
    on_first([&] {
      TrainingState state;
      state.step = step_;
      state.parameters = save_parameters(network_.parameters);
      state.optimizer = optimizer_->save();
      if (average_) state.average = average_->save(network_.parameters);
      Json evaluations = Json::array();
      for (const Evaluated& evaluated : result_.evaluations) {
        Json scores = Json::object();
        for (const auto& [name, value] : evaluated.scores) scores.set(name, value);
        evaluations.push_back(
            Json::object({{"step", evaluated.step}, {"epoch", evaluated.epoch}, {"scores", scores}}));
      }
      state.json = Json::object({{"settings", digest_settings(settings_)},
                                 {"objective", objective_.state()},
                                 {"best_step", best_step_},
                                 {"best_score", best_step_ < 0 ? Json() : Json(best_score_)},
                                 {"worse", worse_},
                                 {"epoch_loss", epoch_loss_},
                                 {"epoch_steps", epoch_steps_},
                                 {"evaluations", evaluations}});
      write_checkpoint(settings_.folder, state);
      remove_old_checkpoints(settings_.folder, settings_.keep);
    });
  }

  Network& network_;
  Objective& objective_;
  const LoopSettings& settings_;
  Communicator* communicator_;
  std::optional<Batches> batches_;  // not of a stream
  std::unique_ptr<Arithmetic> arithmetic_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<ParameterRule> rules_;
  std::optional<WeightAverage> average_;
  Schedule schedule_;
  int64_t total_ = 0, step_ = 0;
  int64_t best_step_ = -1;
  double best_score_ = 0;
  int worse_ = 0;
  TensorMap best_;
  double epoch_loss_ = 0;
  int64_t epoch_steps_ = 0;
  double saved_at_ = 0;
  bool time_to_save_ = false, rank_interrupted_ = false;
  LoopResult result_;
};

}  // namespace

Json digest_settings(const LoopSettings& s) {
  Json groups = Json::array();
  for (const ParameterGroup& group : s.rules.groups) {
    groups.push_back(Json::object({{"pattern", group.pattern},
                                   {"rate", group.rate},
                                   {"weight_decay", group.weight_decay},
                                   {"frozen", group.frozen}}));
  }
  return Json::object({{"epochs", s.epochs},
                       {"max_steps", s.max_steps},
                       {"batch_size", s.batches.batch_size},
                       {"batch_tokens", s.batches.batch_tokens},
                       {"micro_tokens", s.micro_tokens},
                       {"optimizer", s.optimizer.name},
                       {"beta1", s.optimizer.beta1},
                       {"beta2", s.optimizer.beta2},
                       {"epsilon", s.optimizer.epsilon},
                       {"momentum", s.optimizer.momentum},
                       {"weight_decay", s.rules.weight_decay},
                       {"layer_decay", s.rules.layer_decay},
                       {"freeze_encoder", s.rules.freeze_encoder},
                       {"groups", groups},
                       {"learning_rate", s.learning_rate},
                       {"schedule", static_cast<int64_t>(s.schedule)},
                       {"warmup", s.warmup},
                       {"clip_norm", s.clip_norm},
                       {"average", s.average},
                       {"precision", s.precision},
                       {"hidden_dropout", s.hidden_dropout},
                       {"attention_dropout", s.attention_dropout},
                       {"classifier_dropout", s.classifier_dropout},
                       {"seed", s.seed},
                       {"eval_steps", s.eval_steps},
                       {"metric", s.metric},
                       {"patience", s.patience},
                       {"keep_best", s.keep_best}});
}

LoopResult train(Network& network, Objective& objective, const LoopSettings& settings, bool resume,
                 Communicator* communicator, const std::function<void(const StepLog&)>& on_step) {
  Run run(network, objective, settings, communicator);
  if (resume && !settings.folder.empty()) {
    if (const auto state = read_newest_checkpoint(settings.folder)) run.restore(*state);
  }
  return run.run(on_step);
}

}  // namespace penjing::train
