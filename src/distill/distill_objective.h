#pragma once

#include <memory>

#include "distill/teacher.h"
#include "train/objective.h"

namespace penjing::distill {

// A task's objective with a teacher beside it:
//   loss = label_weight * task's loss + sum of weight_i(progress) * loss_i(student, teacher)
// where each loss_i is the mean over its units (Unit in loss.h) of the step's examples. Scored as the task
// is.
class DistillObjective final : public train::Objective {
 public:
  DistillObjective(std::unique_ptr<train::Objective> task, Teacher teacher, Connections connections,
                   double label_weight);

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
  bool is_sum() const override;
  train::LossSum loss(const train::Network& network, const train::ForwardContext& context,
                      std::span<const int64_t> examples, int64_t epoch) const override;
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
  TensorMap tensors() const override { return connections_.state(); }
  void restore_tensors(const TensorMap& tensors) override { connections_.restore(tensors); }

 private:
  std::unique_ptr<train::Objective> task_;
  mutable Teacher teacher_;
  mutable Connections connections_;  // losses have memories
  double label_weight_;
};

}  // namespace penjing::distill
