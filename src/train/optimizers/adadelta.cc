// Adadelta (Zeiler 2012, arXiv:1212.5701) as torch.optim.Adadelta computes it, with the paper's rho = 0.95
// and epsilon = 1e-6; its own learning rate is 1:
//   g <- g + decay * w,   a <- rho * a + (1 - rho) g^2,   d = sqrt(b + epsilon) / sqrt(a + epsilon) * g,
//   b <- rho * b + (1 - rho) d^2,   w <- w - lr * d
#include "train/optimizer.h"

namespace penjing::train {

namespace {

constexpr double kRho = 0.95, kEpsilon = 1e-6;

class Adadelta final : public Optimizer {
 public:
  explicit Adadelta(const OptimizerSettings& settings) : Optimizer(settings, {"squares", "changes"}) {}

 private:
  void update(const at::Tensor& w, const at::Tensor& g, State& state, const ParameterRule& rule,
              double learning_rate, double gradient_scale) override {
    at::Tensor gradient = g * gradient_scale;
    gradient.add_(w, rule.weight_decay);
    at::Tensor &squares = state.parts[0], &changes = state.parts[1];
    squares.mul_(kRho).addcmul_(gradient, gradient, 1 - kRho);
    const at::Tensor change = (changes + kEpsilon).sqrt_().div_((squares + kEpsilon).sqrt_()).mul_(gradient);
    changes.mul_(kRho).addcmul_(change, change, 1 - kRho);
    w.add_(change, -learning_rate);
  }
};

}  // namespace

extern const OptimizerKind adadelta_optimizer;
const OptimizerKind adadelta_optimizer = {
    "adadelta",
    [](const OptimizerSettings& s) -> std::unique_ptr<Optimizer> { return std::make_unique<Adadelta>(s); }};

}  // namespace penjing::train
