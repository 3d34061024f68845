// pkd: Sun et al. 2019, "Patient Knowledge Distillation for BERT Model Compression": of each matched layer
// the first token's ([CLS]) state, divided by its Euclidean length: form = paper (equation 7): |h_S / |h_S| -
// h_T / |h_T||^2, the mean over examples, summed over layers. form = code (the authors', and the grid of beta
// 10 to 1000 with it): the mean over the state's elements, and over
//   layers ("reduce": "mean" of the plan).
#include "distill/row_numerics.h"
#include "distill/vector_loss.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string form = "code";
  bool normalise = true;
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("form", form, {"code", "paper"}, "the mean over a state's elements, or their sum");
    v.flag("normalise", normalise, "divide states by their lengths");
  }
};

class Patience final : public VectorLoss {
 public:
  Patience(const Params& params, const LossSetup& setup)
      : VectorLoss("first", kEqualWidths, setup), params_(params) {}
  Unit unit() const override { return Unit::kSequences; }

 private:
  at::Tensor of_vectors(const at::Tensor& student, const at::Tensor& teacher, std::size_t,
                        const LossInput&) override {
    const at::Tensor distances = params_.normalise
                                     ? squared_distances(directions(student), directions(teacher))
                                     : squared_distances(student, teacher);
    return params_.form == "paper" ? distances.mean()
                                   : distances.mean() / static_cast<double>(student.size(1));
  }

  Params params_;
};

}  // namespace

extern const LossKind pkd_loss;
const LossKind pkd_loss = {"pkd",
                           "patience: normalised [CLS] states of several layers",
                           "Sun et al. 2019, arXiv:1908.09355",
                           list_params<Params>,
                           always_needs<kFirst | kEqualWidths>,
                           make_loss<Patience, Params>};

}  // namespace penjing::distill
