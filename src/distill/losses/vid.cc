// vid: Ahn et al. 2019, "Variational Information Distillation for Knowledge Transfer": a bound on the mutual
// information of the layers, E[log q(t | s)] with q Gaussian of mean mu(s) and one variance a channel:
// the mean over positions and channels of ((mu(s) - t)^2 / v + log v) / 2, v = log(1 + exp(a)) + epsilon.
// mu: three 1x1 convolutions without bias, ReLU between them, as wide inside as the teacher; here linear maps
// of each token's row. v is `variance` at first. Paper and code (RepDistiller, from the authors') agree.
#include <cmath>

#include "distill/learned_maps.h"

namespace penjing::distill {

namespace {

struct Params {
  double variance = 5, epsilon = 1e-5;
  template <class Visitor>
  void visit(Visitor& v) {
    v.number("variance", variance, 1e-3, 1e3, "of every channel at first");
    v.number("epsilon", epsilon, 0, 1e-4, "added to the variances");
  }
};

class Vid final : public LayerLoss {
 public:
  Vid(const Params& params, const LossSetup& setup) : LayerLoss(kRows, setup), epsilon_(params.epsilon) {
    const double start = std::log(std::expm1(params.variance - params.epsilon));
    for (std::size_t i = 0; i < setup.places.size(); ++i) {
      const auto [in, out] = setup.places[i];
      const auto layer = [&](int number, int64_t width) {
        return LearnedLinear(setup, fmt::format("{}.regressor.{}", i, number), width, out, false,
                             default_deviation(width));
      };
      regressors_.push_back({layer(0, in), layer(1, out), layer(2, out)});
      scales_.emplace_back(setup, fmt::format("{}.scale", i), out, start);
    }
  }
  Unit unit() const override { return Unit::kTokens; }

 private:
  at::Tensor of_place(const LayerOutputs& student, const LayerOutputs& teacher, std::size_t place,
                      const LossInput&) override {
    const auto& [first, second, third] = regressors_[place];
    const at::Tensor mean = third(at::relu(second(at::relu(first(student.rows)))));
    const at::Tensor variance = at::softplus(scales_[place](), 1, 20) + epsilon_;
    const at::Tensor difference = mean - teacher.rows;
    return (0.5 * (difference * difference / variance + variance.log())).mean();
  }

  double epsilon_;
  std::vector<std::array<LearnedLinear, 3>> regressors_;
  std::vector<LearnedVector> scales_;
};

}  // namespace

extern const LossKind vid_loss;
const LossKind vid_loss = {"vid",
                           "variational information: a Gaussian of the teacher's hidden states, learned",
                           "Ahn et al. 2019, arXiv:1904.05835",
                           list_params<Params>,
                           always_needs<kRows>,
                           make_loss<Vid, Params>};

}  // namespace penjing::distill
