// AdamW (Loshchilov & Hutter 2019, algorithm 2), as torch.optim.AdamW computes it:
//   w <- w - lr * decay * w
//   m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2
//   w <- w - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + epsilon)
#include <cmath>

#include "kernels/train_adamw/train_adamw.h"
#include "train/ops/kernel_rows.h"
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
    if (!has_kernel(w)) {
      const at::Tensor scaled = g * gradient_scale;
      const at::Tensor& m = state.parts[0].mul_(s.beta1).add_(scaled, 1 - s.beta1);
      const at::Tensor& v = state.parts[1].mul_(s.beta2).addcmul_(scaled, scaled, 1 - s.beta2);
      const at::Tensor root = v.sqrt().mul_(1 / std::sqrt(1 - std::pow(s.beta2, t))).add_(s.epsilon);
      w.mul_(1 - learning_rate * rule.weight_decay)
          .addcdiv_(m, root, -learning_rate / (1 - std::pow(s.beta1, t)));
      return;
    }
    const auto number = [](double v) { return static_cast<float>(v); };
    const auto& kernel = train_adamw::select();
    at::parallel_for(0, w.numel(), 32768, [&](int64_t begin, int64_t end) {
      kernel.step({end - begin, w.data_ptr<float>() + begin, state.parts[0].data_ptr<float>() + begin,
                   state.parts[1].data_ptr<float>() + begin, g.data_ptr<float>() + begin,
                   number(gradient_scale), number(s.beta1), number(1 - s.beta1), number(s.beta2),
                   number(1 - s.beta2), number(1 - learning_rate * rule.weight_decay),
                   number(learning_rate / (1 - std::pow(s.beta1, t))),
                   number(1 / std::sqrt(1 - std::pow(s.beta2, t))), number(s.epsilon)});
    });
  }
};

}  // namespace

extern const OptimizerKind adamw_optimizer;
const OptimizerKind adamw_optimizer = {"adamw", [](const OptimizerSettings& s) -> std::unique_ptr<Optimizer> {
                                         return std::make_unique<AdamW>(s);
                                       }};

}  // namespace penjing::train
