// AdamW (Loshchilov & Hutter 2019, algorithm 2), as torch.optim.AdamW computes it:
//   w <- w - lr * decay * w
//   m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2
//   w <- w - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + epsilon)
#include <cmath>

#include "train/optimizer.h"

namespace penjing::train {

namespace {

class AdamW final : public Optimizer {
 public:
  explicit AdamW(const OptimizerSettings& settings)
      : Optimizer(settings, {"first_moment", "second_moment"}) {}

 private:
  void update(const at::Tensor& w, const at::Tensor& g, State& state, const ParameterRule& rule,
              double learning_rate, double gradient_scale) override {
    const OptimizerSettings& s = settings();
    const auto t = static_cast<double>(state.steps);
    const auto beta1 = static_cast<float>(s.beta1), beta2 = static_cast<float>(s.beta2);
    // Not 1 - beta2 in single precision, which is off by 1e-5 of itself.
    const auto new1 = static_cast<float>(1 - s.beta1), new2 = static_cast<float>(1 - s.beta2);
    const auto keep = static_cast<float>(1 - learning_rate * rule.weight_decay);
    const auto rate = static_cast<float>(learning_rate / (1 - std::pow(s.beta1, t)));
    const auto root = static_cast<float>(1 / std::sqrt(1 - std::pow(s.beta2, t)));
    const auto epsilon = static_cast<float>(s.epsilon), scale = static_cast<float>(gradient_scale);
    float* values = w.data_ptr<float>();
    const float* gradients = g.data_ptr<float>();
    float* first = state.parts[0].data_ptr<float>();
    float* second = state.parts[1].data_ptr<float>();
    at::parallel_for(0, w.numel(), 32768, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float gradient = gradients[i] * scale;
        const float m = beta1 * first[i] + new1 * gradient;
        const float v = beta2 * second[i] + new2 * gradient * gradient;
        first[i] = m;
        second[i] = v;
        values[i] = values[i] * keep - rate * m / (std::sqrt(v) * root + epsilon);
      }
    });
  }
};

}  // namespace

extern const OptimizerKind adamw_optimizer;
const OptimizerKind adamw_optimizer = {"adamw", [](const OptimizerSettings& s) -> std::unique_ptr<Optimizer> {
                                         return std::make_unique<AdamW>(s);
                                       }};

}  // namespace penjing::train
