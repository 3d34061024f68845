// pkt: Passalis and Tefas 2018, "Learning Deep Representations with Probabilistic Knowledge Transfer", on one
// vector an example (parameter "of"): K_ij = (cos(x_i, x_j) + 1) / 2, rows divided by their sums give P, and
// form = code (the authors', in RepDistiller): the mean over all i, j of P_T log((P_T + e) / (P_S + e)), e =
// 1e-7, which
//   is added to lengths as well;
// form = paper (equation 9): the sum over j other than i, P without an example's likeness to itself, the mean
// over
//   i. A vector of length 0 has cosine 0 with all.
#include "distill/row_numerics.h"
#include "distill/vector_loss.h"

namespace penjing::distill {

namespace {

constexpr double kEpsilon = 1e-7;

struct Params {
  std::string form = "code", of = "first";
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("form", form, {"code", "paper"}, "mean over all entries, or sums over other examples");
    v.choice("of", of, {"first", "mean", "embeddings", "logits"}, "an example's vector");
  }
};

class Probabilistic final : public VectorLoss {
 public:
  Probabilistic(const Params& params, const LossSetup& setup)
      : VectorLoss(params.of, 0, setup), code_(params.form == "code") {}
  Unit unit() const override { return Unit::kBatch; }

 private:
  at::Tensor probabilities(const at::Tensor& vectors) const {
    const at::Tensor x = directions(vectors, code_ ? kEpsilon : 0);
    at::Tensor likeness = (at::mm(x, x.t()) + 1) / 2;
    if (!code_) likeness = likeness * (1 - at::eye(likeness.size(0), likeness.options()));
    return likeness / likeness.sum({1}, true);
  }
  at::Tensor of_vectors(const at::Tensor& student, const at::Tensor& teacher, std::size_t,
                        const LossInput&) override {
    if (!code_ && student.size(0) < 2) return 0 * student.sum();
    const at::Tensor p = probabilities(teacher), q = probabilities(student);
    const at::Tensor terms = p * ((p + kEpsilon) / (q + kEpsilon)).log();
    return code_ ? terms.mean() : terms.sum({1}).mean();
  }

  bool code_;
};

unsigned needs(const Json& params) {
  return VectorsOf{read_params<Params>(params).of}.needs();
}

}  // namespace

extern const LossKind pkt_loss;
const LossKind pkt_loss = {"pkt",
                           "probabilities that examples are alike",
                           "Passalis and Tefas 2018, arXiv:1803.10837",
                           list_params<Params>,
                           needs,
                           make_loss<Probabilistic, Params>};

}  // namespace penjing::distill
