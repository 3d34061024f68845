// LAMB (You et al. 2020, algorithm 2), with bias correction:
//   u = m^ / (sqrt(v^) + epsilon) + decay * w,   w <- w - lr * (|w| / |u|) u     (ratio 1 where a norm is 0)
#include <cmath>

#include "train/optimizer.h"

namespace penjing::train {

namespace {

class Lamb final : public Optimizer {
 public:
  explicit Lamb(const OptimizerSettings& settings) : Optimizer(settings, {"first_moment", "second_moment"}) {}

 private:
  void update(const at::Tensor& w, const at::Tensor& g, State& state, const ParameterRule& rule,
              double learning_rate, double gradient_scale) override {
    const OptimizerSettings& s = settings();
    const auto t = static_cast<double>(state.steps);
    const at::Tensor scaled = g * gradient_scale;
    at::Tensor& m = state.parts[0];
    at::Tensor& v = state.parts[1];
    m.mul_(s.beta1).add_(scaled, 1 - s.beta1);
    v.mul_(s.beta2).addcmul_(scaled, scaled, 1 - s.beta2);
    at::Tensor u = (m / (1 - std::pow(s.beta1, t))) / ((v / (1 - std::pow(s.beta2, t))).sqrt() + s.epsilon);
    u.add_(w, rule.weight_decay);
    const double weight_norm = w.norm().item<double>(), update_norm = u.norm().item<double>();
    const double trust = weight_norm > 0 && update_norm > 0 ? weight_norm / update_norm : 1;
    w.add_(u, -learning_rate * trust);
  }
};

}  // namespace

extern const OptimizerKind lamb_optimizer;
const OptimizerKind lamb_optimizer = {"lamb", [](const OptimizerSettings& s) -> std::unique_ptr<Optimizer> {
                                        return std::make_unique<Lamb>(s);
                                      }};

}  // namespace penjing::train
