// contrastive: sentence embeddings against the others of the batch.
// form = similarities: KL between softmax over the other examples j of cos(t_i, t_j) / tau_T and of
//   cos(s_i, s_j) / tau_S, the mean over i (similarity distillation; Fang et al. 2021, "SEED", with the batch
//   as its queue). Widths may differ. A batch of one or two has the value 0: there is no choice.
// form = teacher: InfoNCE, -log softmax_j(cos(s_i, t_j) / tau_S) at j = i: the own teacher's embedding among
// all. Widths
//   must be equal: the plan projects.
#include <limits>

#include "distill/matryoshka_vectors.h"
#include "distill/row_numerics.h"
#include "distill/soft_targets.h"
#include "distill/vector_loss.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string form = "similarities", of = "embeddings";
  double temperature = 0.05, teacher_temperature = 0.05;
  MatryoshkaParams matryoshka;
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("form", form, {"similarities", "teacher"},
             "similarities as the teacher's, or close to its embedding");
    v.choice("of", of, {"embeddings", "first", "mean"}, "an example's vector");
    v.number("temperature", temperature, 1e-3, 100, "tau_S, of the student's cosines");
    v.number("teacher_temperature", teacher_temperature, 1e-3, 100, "tau_T, form similarities");
    matryoshka.visit(v);
  }
};

unsigned extra_needs(const Params& params) {
  return params.form == "teacher" ? kEqualWidths : 0u;
}

class Contrastive final : public VectorLoss {
 public:
  Contrastive(const Params& params, const LossSetup& setup)
      : VectorLoss(params.of, extra_needs(params), setup),
        params_(params),
        matryoshka_(params.matryoshka.read(params.of)) {}
  Unit unit() const override { return Unit::kBatch; }

 private:
  at::Tensor of_vectors(const at::Tensor& student, const at::Tensor& teacher, std::size_t,
                        const LossInput&) override {
    return at_dimensions(matryoshka_, student, teacher, params_.form == "teacher",
                         [&](const at::Tensor& s, const at::Tensor& t) { return compare(s, t); });
  }

  at::Tensor compare(const at::Tensor& student, const at::Tensor& teacher) const {
    const at::Tensor s = directions(student), t = directions(teacher);
    if (params_.form == "teacher") {
      const at::Tensor right = at::arange(s.size(0), at::TensorOptions(at::kLong).device(s.device()));
      return at::cross_entropy_loss(at::mm(s, t.t()) / params_.temperature, right);
    }
    if (s.size(0) < 3) return 0 * s.sum();
    const at::Tensor self = at::eye(s.size(0), s.options()).to(at::kBool);
    const at::Tensor wanted = (at::mm(t, t.t()) / params_.teacher_temperature)
                                  .masked_fill(self, -std::numeric_limits<double>::infinity());
    return soft_target_loss(at::mm(s, s.t()) / params_.temperature, wanted, 1, Divergence::kKl).mean();
  }

  Params params_;
  train::Matryoshka matryoshka_;
};

unsigned needs(const Json& params) {
  const Params read = read_params<Params>(params);
  (void)read.matryoshka.read(read.of);
  return VectorsOf{read.of}.needs() | extra_needs(read);
}

}  // namespace

extern const LossKind contrastive_loss;
const LossKind contrastive_loss = {"contrastive",
                                   "similarities of the batch's sentence embeddings",
                                   "Fang et al. 2021, arXiv:2101.04731",
                                   list_params<Params>,
                                   needs,
                                   make_loss<Contrastive, Params>};

}  // namespace penjing::distill
