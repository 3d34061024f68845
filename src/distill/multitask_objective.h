#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "train/objective.h"

namespace penjing::distill {

// One of several tasks in training. Its network's encoder parameters are the first task's; those of its head,
// and what it learns beside, are also among the first task's parameters, under names of kAside, so that
// optimizer, checkpoints and averages know them.
struct LearnedTask {
  std::string name;
  std::unique_ptr<train::Objective> objective;
  Model model;             // not of the first task, whose model and network are the loop's
  train::Network network;  // on model
};

// Makes the task's network on the first one's encoder.
void share_encoder(LearnedTask& task, const train::Parameters& first);
// Adds what the task's network has of its own to the first task's parameters.
void add_own_parameters(const LearnedTask& task, train::Parameters& first);

// Examples of all tasks, in the order of the tasks; a step has those of one (groups()), and its loss is that
// task's. Scores: the mean of the tasks' main ones, then every task's own as "name.metric".
class MultitaskObjective final : public train::Objective {
 public:
  // The trained models of all tasks but the first.
  using OnFinish = std::function<void(std::vector<Model> others)>;
  MultitaskObjective(std::vector<std::unique_ptr<LearnedTask>> tasks, double size_exponent,
                     OnFinish on_finish);

  int64_t num_examples() const override { return first_.back(); }
  std::span<const train::Sequence> sequences(int64_t example) const override;
  std::string target(int64_t example) const override;
  double weight(int64_t example) const override;
  int64_t class_of(int64_t example) const override;
  std::vector<train::Batches::Group> groups() const override { return groups_; }
  bool is_sum() const override;
  train::LossSum loss(const train::Network& network, const train::ForwardContext& context,
                      std::span<const int64_t> examples, int64_t epoch) const override;
  Json begin(const train::Network& network, const train::ForwardContext& context,
             std::span<const std::vector<int64_t>> steps) override;
  TaskResult evaluate(const train::Network& network, const train::ForwardContext& context) const override;
  bool has_evaluation() const override;
  void finish(const train::Network& network, const train::ForwardContext& context,
              Model& model) const override;
  std::string summary() const override;
  Json state() const override;
  void restore(const Json& state) override;
  TensorMap tensors() const override;
  void restore_tensors(const TensorMap& tensors) override;

 private:
  // The task of an example, and its number there.
  std::pair<std::size_t, int64_t> locate(int64_t example) const;
  // The task that all of a step's examples are of, and their numbers there.
  std::pair<std::size_t, std::vector<int64_t>> locate_step(std::span<const int64_t> examples) const;
  // network: the first task's.
  const train::Network& network_of(std::size_t task, const train::Network& network) const {
    return task == 0 ? network : tasks_[task]->network;
  }

  std::vector<std::unique_ptr<LearnedTask>> tasks_;
  std::vector<int64_t> first_{0};  // [t]: number of task t's first example; at the end that of all
  std::vector<train::Batches::Group> groups_;
  OnFinish on_finish_;
};

}  // namespace penjing::distill
