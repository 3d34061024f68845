// ofd: Heo et al. 2019, "A Comprehensive Overhaul of Feature Distillation". The teacher's response becomes
// T' = max(T, m_c), m_c < 0 the mean negative response of channel c; the student's goes through a linear map
// without bias and batch norm; partial distance (S - T')^2 where S > T' or T' > 0, else 0.
// Layer i of n counts 2^(i - n + 1). over = examples (the released code): the sum divided by 1000 and by the
// examples; over = elements: the mean, which does not grow with a sequence's length.
// margin: the code computes m_c from the batch norm before the layer's ReLU, as the mean below 0 of a
// Gaussian. A Transformer has no such layer: margin = gaussian takes mean and deviation of the channel over
// the batch's tokens in the same formula, margin = mean takes the mean of its negative elements (the paper's
// definition).
#include <cmath>
#include <numbers>

#include "distill/learned_maps.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string margin = "mean", over = "examples";
  bool norm = true;
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("margin", margin, {"mean", "gaussian"}, "how a channel's mean negative response is estimated");
    v.choice("over", over, {"examples", "elements"}, "what the sum is divided by");
    v.flag("norm", norm, "batch norm after the student's linear map");
  }
};

// [width], of rows [T, width].
at::Tensor mean_of_negatives(const at::Tensor& rows) {
  const at::Tensor counts = (rows < 0).sum({0}).clamp_min(1);
  return rows.clamp_max(0).sum({0}) / counts.to(rows.scalar_type());
}

// E[x | x < 0] of a normal variable; -3 deviations where hardly anything is below 0.
at::Tensor gaussian_margin(const at::Tensor& rows) {
  const at::Tensor mean = rows.mean({0});
  const at::Tensor deviation = ((rows - mean) * (rows - mean)).mean({0}).sqrt().clamp_min(1e-12);
  const at::Tensor ratio = mean / deviation;
  const at::Tensor below = 0.5 * at::erfc(ratio / std::numbers::sqrt2);
  const at::Tensor density = (-0.5 * ratio * ratio).exp() / std::sqrt(2 * std::numbers::pi);
  return at::where(below > 1e-3, mean - deviation * density / below.clamp_min(1e-3), -3 * deviation);
}

class Overhaul final : public LayerLoss {
 public:
  Overhaul(const Params& params, const LossSetup& setup) : LayerLoss(kRows, setup), params_(params) {
    for (std::size_t i = 0; i < setup.places.size(); ++i) {
      const auto [in, out] = setup.places[i];
      linear_.emplace_back(setup, fmt::format("{}.connector", i), in, out, false,
                           std::sqrt(2 / static_cast<double>(out)));
      if (params.norm) norm_.emplace_back(setup, fmt::format("{}.norm", i), out);
    }
  }
  Unit unit() const override { return Unit::kBatch; }  // the margins are the batch's

 private:
  at::Tensor of_place(const LayerOutputs& student, const LayerOutputs& teacher, std::size_t place,
                      const LossInput& input) override {
    at::Tensor s = linear_[place](student.rows);
    if (params_.norm) s = norm_[place](s);
    const at::Tensor margin =
        params_.margin == "mean" ? mean_of_negatives(teacher.rows) : gaussian_margin(teacher.rows);
    const at::Tensor t = at::maximum(teacher.rows, margin);
    const at::Tensor counts = (s > t).logical_or(t > 0);
    const at::Tensor terms = ((s - t) * (s - t)).masked_fill(counts.logical_not(), 0);
    const double share = std::exp2(static_cast<double>(place) - static_cast<double>(num_places()) + 1);
    if (params_.over == "elements") return share * terms.mean();
    return share * 1e-3 * terms.sum() / static_cast<double>(input.offsets.size() - 1);
  }

  Params params_;
  std::vector<LearnedLinear> linear_;
  std::vector<LearnedBatchNorm> norm_;
};

}  // namespace

extern const LossKind ofd_loss;
const LossKind ofd_loss = {"ofd",
                           "overhauled features: hidden states with negative responses cut at a margin",
                           "Heo et al. 2019, arXiv:1904.01866",
                           list_params<Params>,
                           always_needs<kRows>,
                           make_loss<Overhaul, Params>};

}  // namespace penjing::distill
