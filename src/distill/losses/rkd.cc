// rkd: Park et al. 2019, "Relational Knowledge Distillation", on one vector an example (parameter "of"):
// distance: d_ij = |x_i - x_j| divided by the mean of the positive ones, smooth L1 of student against
// teacher; angle: cos of the angle at j of (i, j, k), from unit difference vectors, smooth L1. 25 distance +
// 50 angle. form = code (RepDistiller, from the authors'): means over all B^2 and B^3 entries, those of an
// example with
//   itself (0 on both sides) counted. form = paper: over the pairs and triplets of different examples.
// Distances are of differences, not of the expanded square: the same number, without its cancellation; below
// 1e-6 they are 1e-6 and have no gradient. A batch of one example has the value 0.
#include "distill/row_numerics.h"
#include "distill/vector_loss.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string form = "code", of = "first";
  double distance = 25, angle = 50;
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("form", form, {"code", "paper"}, "means over all entries, or over different examples");
    v.choice("of", of, {"first", "mean", "embeddings", "logits"}, "an example's vector");
    v.number("distance", distance, 0, 1e6, "weight of the distances");
    v.number("angle", angle, 0, 1e6, "weight of the angles");
  }
};

// [B, B, width]: x_j - x_i.
at::Tensor differences(const at::Tensor& x) {
  return x.unsqueeze(0) - x.unsqueeze(1);
}

at::Tensor distances(const at::Tensor& difference) {
  const int64_t n = difference.size(0);
  const at::Tensor squares = (difference * difference).sum({2}).clamp_min(1e-12);
  const at::Tensor self = at::eye(n, difference.options()).to(at::kBool);
  const at::Tensor d = squares.sqrt().masked_fill(self, 0);
  return d / (d.sum() / static_cast<double>(n * (n - 1)));
}

// [B, B, B]: at the first index.
at::Tensor angles(const at::Tensor& difference) {
  const at::Tensor unit = directions(difference);
  return at::bmm(unit, unit.transpose(1, 2));
}

class Relational final : public VectorLoss {
 public:
  Relational(const Params& params, const LossSetup& setup)
      : VectorLoss(params.of, 0, setup), params_(params) {}
  Unit unit() const override { return Unit::kBatch; }

 private:
  at::Tensor of_vectors(const at::Tensor& student, const at::Tensor& teacher, std::size_t,
                        const LossInput&) override {
    const int64_t n = student.size(0);
    at::Tensor sum = 0 * student.sum();
    if (n < 2) return sum;
    const auto mean = [&](const at::Tensor& terms, int64_t different) {
      return terms.sum() / static_cast<double>(params_.form == "code" ? terms.numel() : different);
    };
    const at::Tensor from_student = differences(student), from_teacher = differences(teacher);
    if (params_.distance > 0) {
      const at::Tensor terms = smooth_l1(distances(from_student) - distances(from_teacher));
      sum = sum + params_.distance * mean(terms, n * (n - 1));
    }
    if (params_.angle > 0 && n > 2) {
      at::Tensor terms = smooth_l1(angles(from_student) - angles(from_teacher));
      if (params_.form == "paper") terms = terms * (1 - at::eye(n, terms.options()));  // i = k: cosine 1
      sum = sum + params_.angle * mean(terms, n * (n - 1) * (n - 2));
    }
    return sum;
  }

  Params params_;
};

unsigned needs(const Json& params) {
  return VectorsOf{read_params<Params>(params).of}.needs();
}

}  // namespace

extern const LossKind rkd_loss;
const LossKind rkd_loss = {"rkd",
                           "distances and angles between the batch's examples",
                           "Park et al. 2019, arXiv:1904.05068",
                           list_params<Params>,
                           needs,
                           make_loss<Relational, Params>};

}  // namespace penjing::distill
