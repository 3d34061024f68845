// adversarial: a discriminator D learns to tell the teacher's vectors from the student's, and the student to
// be taken for the teacher (Xu et al. 2018, arXiv:1709.00513; Chung et al. 2020, arXiv:2002.01775; Goodfellow
// et al. 2014). Of each place, with l(z) = -log sigmoid(z), [x] a constant, the means over vectors of
//   l(D(t)) + l(-D([s]))                       the discriminator's part
//   form = non_saturating:  l([D](s))          the student's part
//   form = minimax:         -l(-[D](s))        the game itself: gradient reversal
// D(x) = v . leaky_relu(W x + b) + c with `hidden` features and slope 0.2; hidden = 0: D(x) = v . x + c.
#include "distill/learned_maps.h"
#include "distill/vector_loss.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string form = "non_saturating", of = "first";
  int64_t hidden = 128;
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("form", form, {"non_saturating", "minimax"}, "what the student lowers");
    v.choice("of", of, {"first", "mean", "rows", "embeddings", "logits"}, "which vectors are told apart");
    v.integer("hidden", hidden, 0, 65536, "features of the discriminator's layer; 0: it is linear");
  }
};

class Adversarial final : public VectorLoss {
 public:
  Adversarial(const Params& params, const LossSetup& setup)
      : VectorLoss(params.of, kEqualWidths, setup), params_(params) {
    for (std::size_t i = 0; i < num_places(); ++i) {
      const int64_t width = of().sizes(setup, i).teacher_width;
      const auto linear = [&](const char* name, int64_t in, int64_t out) {
        return LearnedLinear(setup, fmt::format("{}.{}", i, name), in, out, true, default_deviation(in));
      };
      if (params.hidden > 0) inner_.push_back(linear("inner", width, params.hidden));
      outer_.push_back(linear("outer", params.hidden > 0 ? params.hidden : width, 1));
    }
  }
  Unit unit() const override { return of().unit(); }

 private:
  at::Tensor tell(const at::Tensor& x, std::size_t place, bool constant) const {
    constexpr double kSlope = 0.2;
    const auto apply = [&](const LearnedLinear& map, const at::Tensor& rows) {
      return constant ? map.as_constant(rows) : map(rows);
    };
    return apply(outer_[place], inner_.empty() ? x : at::leaky_relu(apply(inner_[place], x), kSlope));
  }
  at::Tensor of_vectors(const at::Tensor& student, const at::Tensor& teacher, std::size_t place,
                        const LossInput&) override {
    const at::Tensor discriminator =
        at::softplus(-tell(teacher, place, false)) + at::softplus(tell(student.detach(), place, false));
    const at::Tensor taken = tell(student, place, true);
    return (discriminator + (params_.form == "minimax" ? -at::softplus(taken) : at::softplus(-taken))).mean();
  }

  Params params_;
  std::vector<LearnedLinear> inner_, outer_;
};

unsigned needs(const Json& params) {
  return VectorsOf{read_params<Params>(params).of}.needs() | kEqualWidths;
}

}  // namespace

extern const LossKind adversarial_loss;
const LossKind adversarial_loss = {"adversarial",
                                   "to be taken for the teacher by a learned discriminator",
                                   "Xu et al. 2018, arXiv:1709.00513; Chung et al. 2020, arXiv:2002.01775",
                                   list_params<Params>,
                                   needs,
                                   make_loss<Adversarial, Params>};

}  // namespace penjing::distill
