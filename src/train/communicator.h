#pragma once

#include <vector>

#include "train/parameters.h"

namespace penjing::train {

// The ranks of a data-parallel run as the loop sees them. One process: a null pointer.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Once, before the first step: the gradients of these are to be summed over the ranks.
  virtual void watch(const Parameters& parameters) = 0;
  // Before the backward of the step's last micro batch: gradients are sent while it runs.
  virtual void begin_last_backward() = 0;
  // After it: waits until every gradient is the sum over the ranks. A rank without examples takes part with
  // zeros.
  virtual void finish_gradients() = 0;
  // Sums over the ranks, in place.
  virtual void sum(std::vector<double>& numbers) = 0;
  virtual void barrier() = 0;
};

}  // namespace penjing::train
