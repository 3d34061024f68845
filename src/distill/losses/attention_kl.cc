// attention_kl: attention distributions, head by head: the mean over heads and tokens of KL(A_T || A_S)
// (MobileBERT's attention transfer, Sun et al. 2020, equation 2; MiniLM's, which minilm.cc computes from
// queries and keys). form = cross_entropy: -sum A_T log A_S, what MobileBERT's released code computes, of the
// same gradient.
#include "distill/loss.h"
#include "distill/soft_targets.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string form = "kl";
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("form", form, {"kl", "cross_entropy"}, "divergence, or cross-entropy of the same gradient");
  }
};

class AttentionKl final : public LayerLoss {
 public:
  AttentionKl(const Params& params, const LossSetup& setup)
      : LayerLoss(kAttention, setup),
        divergence_(params.form == "kl" ? Divergence::kKl : Divergence::kCrossEntropy) {}
  Unit unit() const override { return Unit::kTokens; }

 private:
  at::Tensor of_place(const LayerOutputs& student, const LayerOutputs& teacher, std::size_t,
                      const LossInput& input) override {
    at::Tensor sum;
    for (std::size_t i = 0; i < student.scores.size(); ++i) {
      const at::Tensor term = soft_target_loss(student.scores[i], teacher.scores[i], 1, divergence_).sum();
      sum = sum.defined() ? sum + term : term;
    }
    return sum / (units(input) * static_cast<double>(student.scores.front().size(0)));
  }

  Divergence divergence_;
};

}  // namespace

extern const LossKind attention_kl_loss;
const LossKind attention_kl_loss = {"attention_kl",
                                    "divergence of attention distributions",
                                    "Sun et al. 2020, arXiv:2004.02984",
                                    list_params<Params>,
                                    always_needs<kAttention>,
                                    make_loss<AttentionKl, Params>};

}  // namespace penjing::distill
