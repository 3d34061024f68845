#pragma once

#include <memory>
#include <vector>

#include "distill/byot.h"
#include "distill/objective_around.h"

namespace penjing::distill {

// The task's loss of the deepest classifier C, and of each exit e behind layer l, summed over the exits
// (Zhang et al. 2019, section 3.2):
//   (1 - alpha) CE(y, p_e) + alpha T^2 KL(p_C || p_e) + lambda mean over the features of (F_e - F_C)^2
// KL of distributions at temperature T; F is what a classifier's last product reads, the deepest one of the
// first token, an exit of what ExitLearning::input says: behind the dense layer that BERT has there, which is
// the paper's bottleneck. p_C and F_C are constants. Each example has the weight that the task gives it.
// Deviation: the paper's squared distance is a sum, here a mean over the features, so that lambda does not
// follow the width.
class ByotObjective final : public ObjectiveAround {
 public:
  // classifier: the model's own. The exits' parameters (exit_head) are in the network. label_smoothing: as
  // the task smooths.
  ByotObjective(std::unique_ptr<train::Objective> task, const HeadSpec& classifier, ExitLearning learning,
                double label_smoothing);

  train::LossSum loss(const train::Network& network, const train::ForwardContext& context,
                      std::span<const int64_t> examples, int64_t epoch) const override;
  // The model has the exits from then on.
  void finish(const train::Network& network, const train::ForwardContext& context,
              Model& model) const override;

 private:
  HeadSpec classifier_;
  ExitLearning learning_;
  double label_smoothing_;
};

}  // namespace penjing::distill
