// mse: squared differences of vectors: (1/n) sum_i |s_i - t_i|^2 / width (over = elements), or without the
// division (over = vectors).
//
// of = logits: Ba and Caruana 2014; the BiLSTM student of Tang et al. 2019 (paper |z_S - z_T|^2: over =
// vectors;
//   their code MSELoss: over = elements, as here by default).
// of = rows: hidden states and, with layer 0, embeddings of TinyBERT (Jiao et al. 2020, L_hidn and L_embd),
// the
//   linear map of the student's rows being a projection of the plan.
// of = embeddings: sentence embeddings (Reimers and Gurevych 2020, arXiv:2004.09813).
// Token rows of all sequences are averaged together, as over the valid positions of a padded batch.
#include "distill/matryoshka_vectors.h"
#include "distill/row_numerics.h"
#include "distill/vector_loss.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string of = "rows", over = "elements";
  MatryoshkaParams matryoshka;
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("of", of, {"rows", "first", "mean", "embeddings", "logits"}, "which vectors are compared");
    v.choice("over", over, {"elements", "vectors"}, "the mean over all elements, or over vectors");
    matryoshka.visit(v);
  }
};

class Mse final : public VectorLoss {
 public:
  Mse(const Params& params, const LossSetup& setup)
      : VectorLoss(params.of, kEqualWidths, setup),
        matryoshka_(params.matryoshka.read(params.of)),
        over_elements_(params.over == "elements") {}
  Unit unit() const override { return of().unit(); }

 private:
  at::Tensor of_vectors(const at::Tensor& student, const at::Tensor& teacher, std::size_t,
                        const LossInput&) override {
    return at_dimensions(matryoshka_, student, teacher, true, [&](const at::Tensor& s, const at::Tensor& t) {
      return over_elements_ ? at::mse_loss(s, t) : squared_distances(s, t).mean();
    });
  }

  train::Matryoshka matryoshka_;
  bool over_elements_;
};

unsigned needs(const Json& params) {
  const auto read = read_params<Params>(params);
  (void)read.matryoshka.read(read.of);
  return VectorsOf{read.of}.needs() | kEqualWidths;
}

}  // namespace

extern const LossKind mse_loss;
const LossKind mse_loss = {"mse",
                           "squared error of logits, hidden states, embeddings or sentence embeddings",
                           "Tang et al. 2019, arXiv:1903.12136; Jiao et al. 2020, arXiv:1909.10351",
                           list_params<Params>,
                           needs,
                           make_loss<Mse, Params>};

}  // namespace penjing::distill
