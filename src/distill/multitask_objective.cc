#include "distill/multitask_objective.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/text_table.h"

namespace penjing::distill {

namespace {

// Names of the encoder's parameters: those of the model without heads.
std::vector<std::string> encoder_names(const Model& model) {
  Model bare = model;
  bare.description.heads.clear();
  bare.sentence = {};
  std::vector<std::string> names;
  for (const auto& entry : train::load_parameters(bare)) names.push_back(entry.name);
  return names;
}

std::string aside_name(const LearnedTask& task, const std::string& name) {
  const bool beside = name.starts_with(train::kAside);
  return fmt::format("{}{}.{}{}", train::kAside, task.name, beside ? "beside." : "",
                     beside ? name.substr(train::kAside.size()) : name);
}

// How many examples of each task an epoch takes, as many together as there are.
std::vector<train::Batches::Group> make_groups(std::span<const std::unique_ptr<LearnedTask>> tasks,
                                               double exponent) {
  double all = 0, sum = 0;
  std::vector<double> shares;
  for (const auto& task : tasks) {
    const auto size = static_cast<double>(task->objective->num_examples());
    shares.push_back(std::pow(size, exponent));
    all += size;
    sum += shares.back();
  }
  std::vector<train::Batches::Group> groups;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    groups.push_back(
        {tasks[i]->objective->num_examples(), std::max<int64_t>(1, std::llround(all * shares[i] / sum))});
  }
  return groups;
}

}  // namespace

void share_encoder(LearnedTask& task, const train::Parameters& first) {
  task.network.model = &task.model;
  task.network.parameters = train::load_parameters(task.model);
  for (const std::string& name : encoder_names(task.model)) {
    task.network.parameters.tie(name, first.at(name));
  }
  task.network.encoder = std::make_unique<train::Encoder>(task.model.description, task.network.parameters);
}

void add_own_parameters(const LearnedTask& task, train::Parameters& first) {
  const std::vector<std::string> shared = encoder_names(task.model);
  for (const auto& entry : task.network.parameters) {
    if (std::find(shared.begin(), shared.end(), entry.name) != shared.end()) continue;
    first.share(aside_name(task, entry.name), entry.tensor);
  }
}

MultitaskObjective::MultitaskObjective(std::vector<std::unique_ptr<LearnedTask>> tasks, double size_exponent,
                                       OnFinish on_finish)
    : tasks_(std::move(tasks)),
      groups_(make_groups(tasks_, size_exponent)),
      on_finish_(std::move(on_finish)) {
  for (const auto& task : tasks_) first_.push_back(first_.back() + task->objective->num_examples());
}

std::pair<std::size_t, int64_t> MultitaskObjective::locate(int64_t example) const {
  const auto after = std::upper_bound(first_.begin(), first_.end(), example);
  const auto task = static_cast<std::size_t>(after - first_.begin()) - 1;
  return {task, example - first_[task]};
}

std::pair<std::size_t, std::vector<int64_t>> MultitaskObjective::locate_step(
    std::span<const int64_t> examples) const {
  const std::size_t task = locate(examples.front()).first;
  std::vector<int64_t> own;
  for (const int64_t example : examples) {
    const auto [of, number] = locate(example);
    if (of != task) fail(ErrorKind::kInternal, "a step of examples of several tasks");
    own.push_back(number);
  }
  return {task, std::move(own)};
}

std::span<const train::Sequence> MultitaskObjective::sequences(int64_t example) const {
  const auto [task, own] = locate(example);
  return tasks_[task]->objective->sequences(own);
}

std::string MultitaskObjective::target(int64_t example) const {
  const auto [task, own] = locate(example);
  return tasks_[task]->objective->target(own);
}

double MultitaskObjective::weight(int64_t example) const {
  const auto [task, own] = locate(example);
  return tasks_[task]->objective->weight(own);
}

int64_t MultitaskObjective::class_of(int64_t example) const {
  const auto [task, own] = locate(example);
  return tasks_[task]->objective->class_of(own);
}

bool MultitaskObjective::is_sum() const {
  return std::all_of(tasks_.begin(), tasks_.end(),
                     [](const auto& task) { return task->objective->is_sum(); });
}

train::LossSum MultitaskObjective::loss(const train::Network& network, const train::ForwardContext& context,
                                        std::span<const int64_t> examples, int64_t epoch) const {
  const auto [task, own] = locate_step(examples);
  train::LossSum result = tasks_[task]->objective->loss(network_of(task, network), context, own, epoch);
  for (auto& [name, value] : result.details) name = tasks_[task]->name + "." + name;
  return result;
}

Json MultitaskObjective::begin(const train::Network& network, const train::ForwardContext& context,
                               std::span<const std::vector<int64_t>> steps) {
  std::vector<std::vector<std::vector<int64_t>>> of_task(tasks_.size());
  for (const std::vector<int64_t>& step : steps) {
    auto [task, own] = locate_step(step);
    of_task[task].push_back(std::move(own));
  }
  Json found = Json::object();
  for (std::size_t t = 0; t < tasks_.size(); ++t) {
    if (of_task[t].empty()) continue;  // the training ends before its turn
    Json own = tasks_[t]->objective->begin(network_of(t, network), context, of_task[t]);
    if (!own.as_object("begin").empty()) found.set(tasks_[t]->name, std::move(own));
  }
  return found;
}

TaskResult MultitaskObjective::evaluate(const train::Network& network,
                                        const train::ForwardContext& context) const {
  TaskResult result;
  std::vector<double> main;
  const auto add = [&](std::string name, double value) {
    result.metrics.push_back({std::move(name), [value](std::span<const std::size_t>) { return value; }});
  };
  for (std::size_t t = 0; t < tasks_.size(); ++t) {
    if (!tasks_[t]->objective->has_evaluation()) continue;
    const TaskResult own = tasks_[t]->objective->evaluate(network_of(t, network), context);
    std::vector<std::size_t> all(own.num_examples);
    std::iota(all.begin(), all.end(), std::size_t{0});
    main.push_back(own.metrics.front().value(all));
    for (const Metric& metric : own.metrics) add(tasks_[t]->name + "." + metric.name, metric.value(all));
    result.num_examples += own.num_examples;
  }
  add("mean", std::accumulate(main.begin(), main.end(), 0.0) / static_cast<double>(main.size()));
  std::rotate(result.metrics.begin(), result.metrics.end() - 1, result.metrics.end());
  return result;
}

bool MultitaskObjective::has_evaluation() const {
  return std::any_of(tasks_.begin(), tasks_.end(),
                     [](const auto& task) { return task->objective->has_evaluation(); });
}

void MultitaskObjective::finish(const train::Network& network, const train::ForwardContext& context,
                                Model& model) const {
  std::vector<Model> others;
  for (std::size_t t = 0; t < tasks_.size(); ++t) {
    const LearnedTask& task = *tasks_[t];
    if (t == 0) {
      task.objective->finish(network, context, model);
      continue;
    }
    others.push_back(task.model);
    train::store_parameters(task.network.parameters, others.back());
    task.objective->finish(task.network, context, others.back());
  }
  if (on_finish_) on_finish_(std::move(others));
}

std::string MultitaskObjective::summary() const {
  TextTable table({"task", "examples", "an epoch takes", "share"}, "lrrr");
  double sum = 0;
  for (const auto& group : groups_) sum += static_cast<double>(group.taken);
  for (std::size_t t = 0; t < tasks_.size(); ++t) {
    table.add_row({tasks_[t]->name, std::to_string(groups_[t].examples), std::to_string(groups_[t].taken),
                   fmt::format("{:.1f} %", 100 * static_cast<double>(groups_[t].taken) / sum)});
  }
  return table.str();
}

Json MultitaskObjective::state() const {
  Json state = Json::object();
  for (const auto& task : tasks_) state.set(task->name, task->objective->state());
  return state;
}

void MultitaskObjective::restore(const Json& state) {
  for (const auto& task : tasks_) {
    const Json* own = state.find(task->name);
    if (own == nullptr) fail(ErrorKind::kFormat, "the checkpoint has no state of task {}", task->name);
    task->objective->restore(*own);
  }
}

TensorMap MultitaskObjective::tensors() const {
  TensorMap all;
  for (const auto& task : tasks_) {
    for (const auto& [name, tensor] : task->objective->tensors()) all.set(task->name + "." + name, tensor);
  }
  return all;
}

void MultitaskObjective::restore_tensors(const TensorMap& tensors) {
  for (const auto& task : tasks_) {
    const std::string prefix = task->name + ".";
    TensorMap own;
    for (const auto& [name, tensor] : tensors) {
      if (name.starts_with(prefix)) own.set(name.substr(prefix.size()), tensor);
    }
    task->objective->restore_tensors(own);
  }
}

}  // namespace penjing::distill
