#pragma once

#include <functional>
#include <string>
#include <vector>

#include "train/parameters.h"

namespace penjing::train {

// The ranks of a data-parallel run as the loop sees them. One process: a null pointer. All ranks make the
// same calls in the same order. A rank that is lost, or late by more than the timeout, is an error (kIo) that
// names it on every other rank.
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
  // zeros; a parameter that has no gradient on any rank has none after it.
  virtual void finish_gradients() = 0;
  // Sums over the ranks, in place; the same bits on every rank.
  virtual void sum(std::vector<double>& numbers) = 0;
  // The texts of all ranks, on every rank.
  virtual std::vector<std::string> gather(const std::string& text) = 0;
  // Rank 0 does the work; the others wait for as long as it takes and rank 0 lives.
  virtual void on_first(const std::function<void()>& work) = 0;
  // This rank ends with an error of its own: the others are to say so.
  virtual void give_up(const std::string& reason) = 0;
};

}  // namespace penjing::train
