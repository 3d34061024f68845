// fitnet: Romero et al. 2015, "FitNets: Hints for Thin Deep Nets": the teacher's features (hints) regressed
// from the student's. form = code (RepDistiller): MSE(ReLU(BatchNorm(W s + b)), t), the mean over all
// elements. Its teachers' features
//   come out of a ReLU; a Transformer's do not, and their negative part cannot be met: relu = false leaves it
//   out.
// form = paper (equation 3): 1/2 |W s + b - t|^2, the mean over positions; no norm, no ReLU.
// A position is a token; the convolution becomes a linear map of each token's row.
#include "distill/learned_maps.h"
#include "distill/row_numerics.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string form = "code";
  bool relu = true;
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("form", form, {"code", "paper"}, "the released code's regressor and mean, or the paper's");
    v.flag("relu", relu, "form code: the regressor ends in a ReLU");
  }
};

class FitNet final : public LayerLoss {
 public:
  FitNet(const Params& params, const LossSetup& setup)
      : LayerLoss(kRows, setup), code_(params.form == "code"), relu_(params.relu) {
    for (std::size_t i = 0; i < setup.places.size(); ++i) {
      const auto [in, out] = setup.places[i];
      linear_.emplace_back(setup, fmt::format("{}.regressor", i), in, out, true, default_deviation(in));
      if (code_) norm_.emplace_back(setup, fmt::format("{}.norm", i), out);
    }
  }
  Unit unit() const override { return code_ ? Unit::kBatch : Unit::kTokens; }

 private:
  at::Tensor of_place(const LayerOutputs& student, const LayerOutputs& teacher, std::size_t place,
                      const LossInput&) override {
    at::Tensor guess = linear_[place](student.rows);
    if (!code_) return 0.5 * squared_distances(guess, teacher.rows).mean();
    guess = norm_[place](guess);
    return at::mse_loss(relu_ ? at::relu(guess) : guess, teacher.rows);
  }

  bool code_, relu_;
  std::vector<LearnedLinear> linear_;
  std::vector<LearnedBatchNorm> norm_;
};

}  // namespace

extern const LossKind fitnet_loss;
const LossKind fitnet_loss = {"fitnet",
                              "hints: hidden states regressed from the student's",
                              "Romero et al. 2015, arXiv:1412.6550",
                              list_params<Params>,
                              always_needs<kRows>,
                              make_loss<FitNet, Params>};

}  // namespace penjing::distill
