#pragma once

#include <memory>
#include <vector>

#include "distill/module_replacing.h"
#include "distill/objective_around.h"
#include "distill/theseus.h"

namespace penjing::distill {

// Which of `count` modules are replaced, each with the probability: one draw a step, the same for all its
// micro batches.
std::vector<bool> draw_replaced(const train::RandomKey& random, std::size_t count, double probability);

// The task's loss on the teacher with some of its modules replaced; scored on the student, as it will be.
class TheseusObjective final : public ObjectiveAround {
 public:
  TheseusObjective(std::unique_ptr<train::Objective> task, ReplaceableModules modules,
                   const Replacing& replacing)
      : ObjectiveAround(std::move(task)), modules_(std::move(modules)), replacing_(replacing) {}

  train::LossSum loss(const train::Network& network, const train::ForwardContext& context,
                      std::span<const int64_t> examples, int64_t epoch) const override;

 private:
  mutable ReplaceableModules modules_;  // its network is of the last draw
  Replacing replacing_;
};

}  // namespace penjing::distill
