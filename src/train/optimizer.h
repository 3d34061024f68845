#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/tensor.h"
#include "train/loop_settings.h"
#include "train/parameters.h"

namespace penjing::train {

// What holds for one parameter: the learning rate is the schedule's times `rate`.
struct ParameterRule {
  double rate = 1, weight_decay = 0;
  bool frozen = false;
};

// Changes parameters by their gradients. A file in train/optimizers/, a line in optimizers.def. State is one
// set of FP32 tensors a parameter, made when it first has a gradient; a parameter without a gradient is left
// alone.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // rules: one a parameter, in order. gradient_scale: every gradient is multiplied by it (clipping, loss
  // scale).
  void step(Parameters& parameters, std::span<const ParameterRule> rules, double learning_rate,
            double gradient_scale);

  // State as tensors "PARAMETER.part", and back: bit for bit.
  TensorMap save() const;
  void load(const Parameters& parameters, const TensorMap& state);
  int64_t num_bytes() const;  // of what save() gives

 protected:
  Optimizer(OptimizerSettings settings, std::vector<std::string> parts)
      : settings_(std::move(settings)), parts_(std::move(parts)) {}

  struct State {
    std::string name;
    int64_t steps = 0;
    std::vector<at::Tensor> parts;  // in the order of parts_
  };
  // One parameter: w and g are contiguous FP32 of equal size.
  virtual void update(const at::Tensor& w, const at::Tensor& g, State& state, const ParameterRule& rule,
                      double learning_rate, double gradient_scale) = 0;
  const OptimizerSettings& settings() const { return settings_; }

 private:
  OptimizerSettings settings_;
  std::vector<std::string> parts_;
  std::vector<State> states_;
};

std::unique_ptr<Optimizer> make_optimizer(const OptimizerSettings& settings);  // kInput for an unknown name

struct OptimizerKind {
  const char* name;
  std::unique_ptr<Optimizer> (*make)(const OptimizerSettings& settings);
};

}  // namespace penjing::train
