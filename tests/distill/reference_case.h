#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "distill/loss.h"

namespace penjing::distill::testing {

// Cases that tools/oracles/distill_losses_reference.py wrote to tests/data/distill_losses_<part>.json.
std::vector<const Json*> reference_cases();

// One of them at work: inputs drawn as the script says, the loss with the script's parameters and state.
class ReferenceCase {
 public:
  ReferenceCase(const Json& json, at::ScalarType type);

  at::Tensor value(bool training = false);
  void move_to(at::Device device);  // all that the loss is given and has learned; what it remembers follows
  // Of the student's tensors and of the loss' parameters, by the script's names.
  std::vector<std::pair<std::string, at::Tensor>> leaves() const;
  Loss& loss() { return *loss_; }
  LossInput input(bool training = false) const;
  Side& student() { return student_; }
  Side& teacher() { return teacher_; }
  void set_offsets(std::vector<int64_t> offsets) { offsets_ = std::move(offsets); }
  const train::Parameters& parameters() const { return parameters_; }
  std::string name() const;

 private:
  at::Tensor make(const Json& spec, at::ScalarType type) const;

  const Json& json_;
  train::Parameters parameters_;
  Side student_, teacher_;
  std::vector<int64_t> offsets_, examples_, example_labels_;
  at::Tensor labels_;
  std::vector<std::pair<std::string, at::Tensor>> inputs_;  // the student's
  std::unique_ptr<Loss> loss_;
};

std::vector<double> doubles(const Json& list);

}  // namespace penjing::distill::testing
