#include "train/optimizer.h"

#include "base/error.h"

namespace penjing::train {

#define PENJING_OPTIMIZER(name) extern const OptimizerKind name##_optimizer;
#include "train/optimizers.def"
#undef PENJING_OPTIMIZER

namespace {

constexpr const OptimizerKind* kOptimizers[] = {
#define PENJING_OPTIMIZER(name) &name##_optimizer,
#include "train/optimizers.def"
#undef PENJING_OPTIMIZER
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const OptimizerSettings& settings) {
  std::string names;
  for (const OptimizerKind* kind : kOptimizers) {
    if (settings.name == kind->name) return kind->make(settings);
    names += (names.empty() ? "" : ", ") + std::string(kind->name);
  }
  fail(ErrorKind::kInput, "optimizer \"{}\"; there are {}", settings.name, names);
}

void Optimizer::step(Parameters& parameters, std::span<const ParameterRule> rules, double learning_rate,
                     double gradient_scale) {
  const at::NoGradGuard no_gradient;
  if (states_.empty()) states_.resize(parameters.size());
  std::size_t i = 0;
  for (const Parameters::Entry& entry : parameters) {
    State& state = states_[i];
    const ParameterRule& rule = rules[i++];
    const at::Tensor& gradient = entry.tensor.grad();
    if (rule.frozen || !gradient.defined()) continue;
    if (state.parts.empty()) {
      state.name = entry.name;
      for (std::size_t p = 0; p < parts_.size(); ++p) state.parts.push_back(at::zeros_like(entry.tensor));
    }
    ++state.steps;
    update(entry.tensor, gradient.contiguous(), state, rule, learning_rate * rule.rate, gradient_scale);
  }
}

int64_t Optimizer::num_bytes() const {
  int64_t bytes = 0;
  for (const State& state : states_) {
    if (state.steps == 0) continue;
    for (const at::Tensor& part : state.parts) bytes += static_cast<int64_t>(part.nbytes());
    bytes += static_cast<int64_t>(sizeof(state.steps));
  }
  return bytes;
}

TensorMap Optimizer::save() const {
  TensorMap out;
  for (const State& state : states_) {
    if (state.steps == 0) continue;
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      out.set(state.name + "." + parts_[p], from_torch(state.parts[p]));
    }
    out.set(state.name + ".steps", from_torch(at::tensor({state.steps}, at::kLong)));
  }
  return out;
}

void Optimizer::load(const Parameters& parameters, const TensorMap& saved) {
  states_.assign(parameters.size(), {});
  std::size_t i = 0;
  for (const Parameters::Entry& entry : parameters) {
    State& state = states_[i++];
    const Tensor* steps = saved.find(entry.name + ".steps");
    if (steps == nullptr) continue;
    state.name = entry.name;
    state.steps = static_cast<int64_t>(read_floats(*steps, entry.name + ".steps").at(0));
    for (const std::string& part : parts_) {
      const std::string name = entry.name + "." + part;
      at::Tensor tensor = to_torch(saved.at(name), name);
      if (tensor.sizes() != entry.tensor.sizes()) {
        fail(ErrorKind::kFormat, "optimizer state {}: {} values, wanted {}", name, tensor.numel(),
             entry.tensor.numel());
      }
      state.parts.push_back(tensor.to(entry.tensor.device()));
    }
  }
}

}  // namespace penjing::train
