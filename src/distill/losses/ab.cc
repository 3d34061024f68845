// ab: Heo et al. 2019, "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden
// Neurons": which side of 0 a pre-activation is on, with a margin m, for student s (through a connector) and
// teacher t: sum of (s + m)^2 where s > -m and t <= 0, and of (s - m)^2 where s <= m and t > 0. Layer i of n
// counts 2^(i - n + 1). over = examples (the released code): the sum over a batch's elements divided by its
// examples, times 3 / 1000; over = elements: the mean over elements, which does not grow with a sequence's
// length. The paper trains with it alone first: a stage of the plan.
// connector = auto (the code): none where widths are equal, else linear map and batch norm; channels are a
// token row's elements, positions are tokens.
#include <cmath>

#include "distill/learned_maps.h"

namespace penjing::distill {

namespace {

struct Params {
  double margin = 1;
  std::string over = "examples", connector = "auto";
  template <class Visitor>
  void visit(Visitor& v) {
    v.number("margin", margin, 0, 100, "m");
    v.choice("over", over, {"examples", "elements"}, "what the sum is divided by");
    v.choice("connector", connector, {"auto", "none", "linear", "linear_norm"},
             "what the student goes through");
  }
};

class ActivationBoundaries final : public LayerLoss {
 public:
  ActivationBoundaries(const Params& params, const LossSetup& setup)
      : LayerLoss(kRows, setup), margin_(params.margin), over_examples_(params.over == "examples") {
    for (std::size_t i = 0; i < setup.places.size(); ++i) {
      const auto [in, out] = setup.places[i];
      const bool equal = in == out;
      if (!equal && params.connector == "none") {
        fail(ErrorKind::kInput, "ab: connector: none, but the widths are {} and {}", in, out);
      }
      const bool linear = params.connector == "auto" ? !equal : params.connector != "none";
      const bool norm = linear && params.connector != "linear";
      linear_.push_back(
          linear ? LearnedLinear(setup, fmt::format("{}.connector", i), in, out, true, default_deviation(in))
                 : LearnedLinear());
      norm_.push_back(norm ? LearnedBatchNorm(setup, fmt::format("{}.norm", i), out) : LearnedBatchNorm());
      has_norm_ = has_norm_ || norm;
    }
  }
  Unit unit() const override {
    return has_norm_ ? Unit::kBatch : over_examples_ ? Unit::kSequences : Unit::kTokens;
  }

 private:
  at::Tensor of_place(const LayerOutputs& student, const LayerOutputs& teacher, std::size_t place,
                      const LossInput& input) override {
    at::Tensor s = student.rows;
    if (linear_[place].is_there()) s = linear_[place](s);
    if (norm_[place].is_there()) s = norm_[place](s);
    const at::Tensor on = teacher.rows > 0;
    const at::Tensor above = (s + margin_) * (s + margin_), below = (s - margin_) * (s - margin_);
    const at::Tensor terms = above.masked_fill(on.logical_or(s <= -margin_), 0) +
                             below.masked_fill(on.logical_not().logical_or(s > margin_), 0);
    const double share = std::exp2(static_cast<double>(place) - static_cast<double>(num_places()) + 1);
    if (!over_examples_) return share * terms.mean();
    return share * 3e-3 * terms.sum() / static_cast<double>(input.offsets.size() - 1);
  }

  double margin_;
  bool over_examples_, has_norm_ = false;
  std::vector<LearnedLinear> linear_;
  std::vector<LearnedBatchNorm> norm_;
};

}  // namespace

extern const LossKind ab_loss;
const LossKind ab_loss = {"ab",
                          "activation boundaries: the sign of each hidden element",
                          "Heo et al. 2019, arXiv:1811.03233",
                          list_params<Params>,
                          always_needs<kRows>,
                          make_loss<ActivationBoundaries, Params>};

}  // namespace penjing::distill
