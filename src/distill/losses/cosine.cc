// cosine: the mean of 1 - cos(s_i, t_i). of = rows: DistilBERT's L_cos on last hidden states (Sanh et al.
// 2019), over all tokens; of = embeddings: sentence embeddings. A vector of length 0 has cosine 0 and no
// gradient.
#include "distill/matryoshka_vectors.h"
#include "distill/row_numerics.h"
#include "distill/vector_loss.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string of = "rows";
  MatryoshkaParams matryoshka;
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("of", of, {"rows", "first", "mean", "embeddings"}, "which vectors are compared");
    matryoshka.visit(v);
  }
};

class Cosine final : public VectorLoss {
 public:
  Cosine(const Params& params, const LossSetup& setup)
      : VectorLoss(params.of, kEqualWidths, setup), matryoshka_(params.matryoshka.read(params.of)) {}
  Unit unit() const override { return of().unit(); }

 private:
  at::Tensor of_vectors(const at::Tensor& student, const at::Tensor& teacher, std::size_t,
                        const LossInput&) override {
    return at_dimensions(matryoshka_, student, teacher, true, [](const at::Tensor& s, const at::Tensor& t) {
      return 1 - (directions(s) * directions(t)).sum({-1}).mean();
    });
  }

  train::Matryoshka matryoshka_;
};

unsigned needs(const Json& params) {
  const auto read = read_params<Params>(params);
  (void)read.matryoshka.read(read.of);
  return VectorsOf{read.of}.needs() | kEqualWidths;
}

}  // namespace

extern const LossKind cosine_loss;
const LossKind cosine_loss = {"cosine",
                              "angle between hidden states or sentence embeddings",
                              "Sanh et al. 2019, arXiv:1910.01108",
                              list_params<Params>,
                              needs,
                              make_loss<Cosine, Params>};

}  // namespace penjing::distill
