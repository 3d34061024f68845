// cc: Peng et al. 2019, "Correlation Congruence for Knowledge Distillation".
// form = code (RepDistiller, from the authors' code): e_S, e_T linear embeddings of `dim` numbers, both
// learned,
//   d_b = |e_S - e_T| of example b; the mean over neighbouring examples of sum_k d_b[k] d_{b+1}[k]; 0 for a
//   batch of one.
// form = paper (equations 4 and 8): 1/B^2 |K(F_T) - K(F_S)|_F^2 with the Gaussian kernel of vectors of length
// 1
//   by its Taylor series, K_ij = sum_{p = 0..order} exp(-2 gamma) (2 gamma)^p / p! (x_i . x_j)^p.
// An example's vector is its first token's, its tokens' mean or its embedding (parameter "of").
#include <cmath>

#include "distill/learned_maps.h"
#include "distill/row_numerics.h"
#include "distill/vector_loss.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string form = "code", of = "first";
  int64_t dim = 128, order = 2;
  double gamma = 0.4;
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("form", form, {"code", "paper"},
             "learned embeddings of neighbours, or the batch's kernel matrix");
    v.choice("of", of, {"first", "mean", "embeddings", "logits"}, "an example's vector");
    v.integer("dim", dim, 1, 65536, "form code: width of the embeddings");
    v.number("gamma", gamma, 1e-6, 1e3, "form paper: of the Gaussian kernel");
    v.integer("order", order, 1, 16, "form paper: of the Taylor series");
  }
};

class CorrelationCongruence final : public VectorLoss {
 public:
  CorrelationCongruence(const Params& params, const LossSetup& setup)
      : VectorLoss(params.of, 0, setup), params_(params) {
    if (params.form != "code") return;
    for (std::size_t i = 0; i < num_places(); ++i) {
      const auto [student, teacher] = of().sizes(setup, i);
      student_.emplace_back(setup, fmt::format("{}.student", i), student, params.dim, true,
                            default_deviation(student));
      teacher_.emplace_back(setup, fmt::format("{}.teacher", i), teacher, params.dim, true,
                            default_deviation(teacher));
    }
  }
  Unit unit() const override { return Unit::kBatch; }

 private:
  at::Tensor kernel(const at::Tensor& vectors) const {
    const at::Tensor x = directions(vectors);
    const at::Tensor cosines = at::mm(x, x.t());
    at::Tensor sum = at::zeros_like(cosines), power = at::ones_like(cosines);
    double coefficient = std::exp(-2 * params_.gamma);
    for (int64_t p = 0; p <= params_.order; ++p) {
      if (p > 0) {
        power = power * cosines;
        coefficient *= 2 * params_.gamma / static_cast<double>(p);
      }
      sum = sum + coefficient * power;
    }
    return sum;
  }
  at::Tensor of_vectors(const at::Tensor& student, const at::Tensor& teacher, std::size_t place,
                        const LossInput&) override {
    if (params_.form == "paper") return at::mse_loss(kernel(student), kernel(teacher));
    const at::Tensor delta = (student_[place](student) - teacher_[place](teacher)).abs();
    const int64_t pairs = delta.size(0) - 1;
    if (pairs == 0) return 0 * delta.sum();
    return (delta.narrow(0, 0, pairs) * delta.narrow(0, 1, pairs)).sum({1}).mean();
  }

  Params params_;
  std::vector<LearnedLinear> student_, teacher_;
};

unsigned needs(const Json& params) {
  return VectorsOf{read_params<Params>(params).of}.needs();
}

}  // namespace

extern const LossKind cc_loss;
const LossKind cc_loss = {"cc",
                          "correlation congruence of the batch's examples",
                          "Peng et al. 2019, arXiv:1904.01802",
                          list_params<Params>,
                          needs,
                          make_loss<CorrelationCongruence, Params>};

}  // namespace penjing::distill
