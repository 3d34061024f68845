#pragma once

#include <memory>
#include <utility>

#include "train/objective.h"

namespace penjing::distill {

// A task's objective around which something else is learned: examples, scores and state are the task's.
class ObjectiveAround : public train::Objective {
 public:
  explicit ObjectiveAround(std::unique_ptr<train::Objective> task) : task_(std::move(task)) {}

  int64_t num_examples() const override { return task_->num_examples(); }
  std::span<const train::Sequence> sequences(int64_t example) const override {
    return task_->sequences(example);
  }
  std::string target(int64_t example) const override { return task_->target(example); }
  double weight(int64_t example) const override { return task_->weight(example); }
  bool is_stream() const override { return task_->is_stream(); }
  std::vector<int64_t> next_examples(const train::Batches::Settings& size) override {
    return task_->next_examples(size);
  }
  double epoch() const override { return task_->epoch(); }
  int64_t class_of(int64_t example) const override { return task_->class_of(example); }
  bool is_sum() const override { return task_->is_sum(); }
  TaskResult evaluate(const train::Network& network, const train::ForwardContext& context) const override {
    return task_->evaluate(network, context);
  }
  bool has_evaluation() const override { return task_->has_evaluation(); }
  void finish(const train::Network& network, const train::ForwardContext& context,
              Model& model) const override {
    task_->finish(network, context, model);
  }
  std::string summary() const override { return task_->summary(); }
  Json state() const override { return task_->state(); }
  void restore(const Json& state) override { task_->restore(state); }

 protected:
  const train::Objective& task() const { return *task_; }

 private:
  std::unique_ptr<train::Objective> task_;
};

}  // namespace penjing::distill
