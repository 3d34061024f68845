// Stochastic gradient descent with momentum, as torch.optim.SGD computes it:
//   g <- g + decay * w,   b <- momentum * b + g (b = g at the first step),   w <- w - lr * b
#include "train/optimizer.h"

namespace penjing::train {

namespace {

class Sgd final : public Optimizer {
 public:
  explicit Sgd(const OptimizerSettings& settings) : Optimizer(settings, {"momentum"}) {}

 private:
  void update(const at::Tensor& w, const at::Tensor& g, State& state, const ParameterRule& rule,
              double learning_rate, double gradient_scale) override {
    at::Tensor gradient = g * gradient_scale;
    gradient.add_(w, rule.weight_decay);
    state.parts[0].mul_(settings().momentum).add_(gradient);
    w.add_(state.parts[0], -learning_rate);
  }
};

}  // namespace

extern const OptimizerKind sgd_optimizer;
const OptimizerKind sgd_optimizer = {
    "sgd", [](const OptimizerSettings& s) -> std::unique_ptr<Optimizer> { return std::make_unique<Sgd>(s); }};

}  // namespace penjing::train
