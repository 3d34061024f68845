// margin_mse: Hofstaetter et al. 2020, "Improving Efficient Neural Ranking Models with Cross-Architecture
// Knowledge Distillation": scores of one query's candidates, the first the right one: the mean over the
// others j of
// ((s_0 - s_j) - (t_0 - t_j))^2 (pairs = first), or over all pairs of candidates (pairs = all).
// logits: [queries, candidates]; a teacher's score of -infinity means that there is no such candidate.
#include "distill/loss.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string pairs = "first";
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("pairs", pairs, {"first", "all"}, "the first candidate with each other, or every pair");
  }
};

class MarginMse final : public Loss {
 public:
  MarginMse(const Params& params, const LossSetup&) : Loss(kLogits), first_(params.pairs == "first") {}
  Unit unit() const override { return Unit::kLogitRows; }
  double units(const LossInput& input) const override {
    return there(input.teacher.logits).sum().item<double>();
  }

 private:
  // Pairs (i, j), i < j, of candidates: [queries, candidates or 1, candidates].
  at::Tensor margins(const at::Tensor& scores) const {
    return (first_ ? scores.narrow(1, 0, 1) : scores).unsqueeze(2) - scores.unsqueeze(1);
  }
  at::Tensor there(const at::Tensor& teacher) const {
    const at::Tensor known = at::isneginf(teacher).logical_not();
    const at::Tensor both =
        (first_ ? known.narrow(1, 0, 1) : known).unsqueeze(2).logical_and(known.unsqueeze(1));
    return at::triu(both, 1);
  }
  at::Tensor compute(const LossInput& input) override {
    if (input.student.logits.dim() != 2 || input.student.logits.size(1) < 2) {
      fail(ErrorKind::kInput, "margin_mse: one score a row; wanted those of a query's candidates");
    }
    const at::Tensor pairs = there(input.teacher.logits);
    const at::Tensor teacher = input.teacher.logits.masked_fill(at::isneginf(input.teacher.logits), 0);
    const at::Tensor difference = margins(input.student.logits) - margins(teacher);
    return (difference * difference).masked_fill(pairs.logical_not(), 0).sum() / pairs.sum().clamp_min(1);
  }

  bool first_;
};

}  // namespace

extern const LossKind margin_mse_loss;
const LossKind margin_mse_loss = {"margin_mse",
                                  "differences of scores between candidates",
                                  "Hofstaetter et al. 2020, arXiv:2010.02666",
                                  list_params<Params>,
                                  always_needs<kLogits>,
                                  make_loss<MarginMse, Params>};

}  // namespace penjing::distill
