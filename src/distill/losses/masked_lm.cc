// masked_lm: the masked-LM head's distribution at token positions: (1 - h) tau^2 KL(p_T || p_S) + h
// CE(label), the mean over positions, h = hard_share. DistilBERT (Sanh et al. 2019): tau 2, every token, or
// masked ones alone (positions). MobileBERT's pre-training distillation (Sun et al. 2020): tau 1, h = 0.5
// (form = cross_entropy is the code's number, of the same gradient). Bort: tau 2, h = 1/6. positions =
// masked: rows whose label is not -100; without labels all rows are masked ones.
#include "distill/loss.h"
#include "distill/soft_targets.h"
#include "train/losses.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string positions = "masked", form = "kl";
  double temperature = 2, hard_share = 0;
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("positions", positions, {"masked", "all"}, "which tokens' distributions are compared");
    v.choice("form", form, {"kl", "cross_entropy"}, "divergence, or cross-entropy of the same gradient");
    v.number("temperature", temperature, 0.01, 1000, "tau, of both sides");
    v.number("hard_share", hard_share, 0, 1, "h, of the cross-entropy with the masked words");
  }
};

class MaskedLm final : public Loss {
 public:
  MaskedLm(const Params& params, const LossSetup&) : Loss(kTokenLogits), params_(params) {
    if (params.hard_share > 0 && params.positions == "all")
      fail(ErrorKind::kInput, "masked_lm: hard_share: {}, wanted 0 with positions \"all\"",
           params.hard_share);
  }
  Unit unit() const override { return Unit::kLogitRows; }
  double units(const LossInput& input) const override {
    return static_cast<double>(picks(input) ? chosen(input.labels).size(0) : input.student.logits.size(0));
  }

 private:
  bool picks(const LossInput& input) const { return params_.positions == "masked" && input.labels.defined(); }
  static at::Tensor chosen(const at::Tensor& labels) {
    return (labels != train::kIgnoredTarget).nonzero().squeeze(1);
  }
  at::Tensor compute(const LossInput& input) override {
    at::Tensor student = input.student.logits, teacher = input.teacher.logits, labels = input.labels;
    if (picks(input)) {
      const at::Tensor rows = chosen(labels);
      student = student.index_select(0, rows);
      teacher = teacher.index_select(0, rows);
      labels = labels.index_select(0, rows);
    }
    if (student.size(0) == 0) return 0 * student.sum();
    const auto divergence = params_.form == "kl" ? Divergence::kKl : Divergence::kCrossEntropy;
    const double soft = (1 - params_.hard_share) * params_.temperature * params_.temperature;
    at::Tensor value = soft * soft_target_loss(student, teacher, params_.temperature, divergence).mean();
    if (params_.hard_share == 0) return value;
    if (!labels.defined()) fail(ErrorKind::kInternal, "masked_lm: hard_share without labels");
    return value + params_.hard_share * at::cross_entropy_loss(student, labels);
  }

  Params params_;
};

unsigned needs(const Json& params) {
  return read_params<Params>(params).hard_share > 0 ? kTokenLogits | kLabels : kTokenLogits;
}

}  // namespace

extern const LossKind masked_lm_loss;
const LossKind masked_lm_loss = {"masked_lm",
                                 "distribution of the masked-LM head",
                                 "Sanh et al. 2019, arXiv:1910.01108; Sun et al. 2020, arXiv:2004.02984",
                                 list_params<Params>,
                                 needs,
                                 make_loss<MaskedLm, Params>};

}  // namespace penjing::distill
