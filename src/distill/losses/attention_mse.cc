// attention_mse: TinyBERT's L_attn (Jiao et al. 2020, equation 7): (1 / heads) sum_h MSE(A_S^h, A_T^h) of
// attention matrices before softmax (of = scores) or after it (of = attention: what the paper found to be
// worse); the mean over heads and over the L^2 elements of all sequences. form = code: scores of -100 and
// less count as 0 on both sides, which in the released code takes padding out; here there is none.
#include "distill/loss.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string of = "scores", form = "paper";
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("of", of, {"scores", "attention"}, "before softmax, or after");
    v.choice("form", form, {"paper", "code"}, "code: scores of -100 and less count as 0");
  }
};

class AttentionMse final : public LayerLoss {
 public:
  AttentionMse(const Params& params, const LossSetup& setup)
      : LayerLoss(params.of == "scores" ? kScores : kAttention, setup), params_(params) {}
  Unit unit() const override { return Unit::kSquares; }

 private:
  at::Tensor map(const at::Tensor& scores) const {
    if (params_.of == "attention") return at::softmax(scores, -1);
    return params_.form == "code" ? scores.masked_fill(scores <= -100, 0) : scores;
  }
  at::Tensor of_place(const LayerOutputs& student, const LayerOutputs& teacher, std::size_t,
                      const LossInput& input) override {
    at::Tensor sum;
    for (std::size_t i = 0; i < student.scores.size(); ++i) {
      const at::Tensor term =
          at::mse_loss(map(student.scores[i]), map(teacher.scores[i]), at::Reduction::Sum);
      sum = sum.defined() ? sum + term : term;
    }
    return sum / (units(input) * static_cast<double>(student.scores.front().size(0)));
  }

  Params params_;
};

unsigned needs(const Json& params) {
  return read_params<Params>(params).of == "scores" ? kScores : kAttention;
}

}  // namespace

extern const LossKind attention_mse_loss;
const LossKind attention_mse_loss = {"attention_mse",
                                     "squared error of attention scores",
                                     "Jiao et al. 2020, arXiv:1909.10351",
                                     list_params<Params>,
                                     needs,
                                     make_loss<AttentionMse, Params>};

}  // namespace penjing::distill
