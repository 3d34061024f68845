// kd: Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network": with p, q = softmax(z /
// tau) of teacher and student, the mean over rows of tau^2 KL(p || q).
//
// Rows are examples; for a ranker a row is the list of one query's candidates and a teacher's score of
// -infinity means that there is no such candidate (listwise distillation, Lin et al. 2020, "Distilling Dense
// Representations for Ranking using Tightly-Coupled Teachers"; as Sentence-Transformers' DistillKLDivLoss).
// form = cross_entropy: -sum p log q, of the same gradient (DistilBERT, TinyBERT, Well-Read Students).
// TinyBERT's released code has no tau^2 (square = false) and takes the mean over rows and classes (over =
// elements), as PKD's does; their papers, over rows.
#include "distill/loss.h"
#include "distill/soft_targets.h"

namespace penjing::distill {

namespace {

struct Params {
  double temperature = 4;
  std::string form = "kl", over = "rows";
  bool square = true;
  template <class Visitor>
  void visit(Visitor& v) {
    v.number("temperature", temperature, 0.01, 1000, "tau, of both sides");
    v.choice("form", form, {"kl", "cross_entropy"}, "divergence, or cross-entropy of the same gradient");
    v.flag("square", square, "times tau^2, which keeps gradients of one size for any tau");
    v.choice("over", over, {"rows", "elements"}, "the mean over examples, or over examples and classes");
  }
};

class Kd final : public Loss {
 public:
  Kd(const Params& params, const LossSetup&) : Loss(kLogits), params_(params) {}
  Unit unit() const override { return Unit::kLogitRows; }

 private:
  at::Tensor compute(const LossInput& input) override {
    if (input.student.logits.dim() != 2 || input.student.logits.size(1) < 2) {
      fail(ErrorKind::kInput,
           "kd: one logit an example has no distribution to learn; choose mse of logits, or margin_mse");
    }
    const auto divergence = params_.form == "kl" ? Divergence::kKl : Divergence::kCrossEntropy;
    at::Tensor value =
        soft_target_loss(input.student.logits, input.teacher.logits, params_.temperature, divergence).mean();
    if (params_.square) value = value * (params_.temperature * params_.temperature);
    if (params_.over == "elements") value = value / static_cast<double>(input.student.logits.size(-1));
    return value;
  }

  Params params_;
};

}  // namespace

extern const LossKind kd_loss;
const LossKind kd_loss = {"kd",
                          "soft labels: divergence of softened class (or candidate) probabilities",
                          "Hinton et al. 2015, arXiv:1503.02531",
                          list_params<Params>,
                          always_needs<kLogits>,
                          make_loss<Kd, Params>};

}  // namespace penjing::distill
