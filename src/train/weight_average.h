#pragma once

#include <vector>

#include "train/parameters.h"

namespace penjing::train {

// Exponential average of the weights: a <- decay a + (1 - decay) w after every step.
class WeightAverage {
 public:
  WeightAverage(const Parameters& parameters, double decay);
  void update(const Parameters& parameters);
  // Exchanges the average and the weights; called twice, all is as before.
  void exchange(const Parameters& parameters);
  TensorMap save(const Parameters& parameters) const;
  void load(const Parameters& parameters, const TensorMap& saved);

 private:
  double decay_;
  std::vector<at::Tensor> values_;
};

}  // namespace penjing::train
