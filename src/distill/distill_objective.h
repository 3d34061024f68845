#pragma once

#include <functional>
#include <memory>

#include "distill/objective_around.h"
#include "distill/teachers.h"

namespace penjing::distill {

// A task's objective with a teacher beside it:
//   loss = label_weight * task's loss + sum of weight_i(progress) * loss_i(student, teacher)
// where each loss_i is the mean over its units (Unit in loss.h) of the step's examples. Where layers take
// turns (distill/turns.h), those whose turn is not there yet, and heads, get no gradient at all with
// label_weight 0. Scored as the task is. Weights of terms with a balance are measured before the first step.
class DistillObjective final : public ObjectiveAround {
 public:
  DistillObjective(std::unique_ptr<train::Objective> task, Teachers teachers, Connections connections,
                   double label_weight, std::function<void(const std::string&)> tell);

  bool is_sum() const override;
  train::LossSum loss(const train::Network& network, const train::ForwardContext& context,
                      std::span<const int64_t> examples, int64_t epoch) const override;
  Json begin(const train::Network& network, const train::ForwardContext& context,
             std::span<const std::vector<int64_t>> steps) override;
  double layer_rate(int64_t layer, double progress) const override;
  Json state() const override;
  void restore(const Json& state) override;
  TensorMap tensors() const override { return connections_.state(); }
  void restore_tensors(const TensorMap& tensors) override { connections_.restore(tensors); }

 private:
  // What both models say of examples.
  struct Asked {
    train::LossSum task;
    double weight = 0;  // of the examples
    std::vector<PlannedLoss> losses;
  };
  Asked ask(const train::Network& network, const train::ForwardContext& context,
            std::span<const int64_t> examples, int64_t epoch) const;

  mutable Teachers teachers_;
  mutable Connections connections_;  // losses have memories
  double label_weight_;
  std::function<void(const std::string&)> tell_;
};

}  // namespace penjing::distill
