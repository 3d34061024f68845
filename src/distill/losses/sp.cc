// sp: Tung and Mori 2019, "Similarity-Preserving Knowledge Distillation": G~ = F F^T over the batch's
// examples, G its rows divided by their Euclidean lengths, |G_T - G_S|_F^2 / B^2. Paper and code
// (RepDistiller) agree. F holds one vector an example. The papers' flattened feature map wants samples of one
// size; sequences have their own lengths, so an example's vector is its first token's or its tokens' mean
// (parameter "of"); widths may differ.
#include "distill/row_numerics.h"
#include "distill/vector_loss.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string of = "mean";
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("of", of, {"mean", "first", "embeddings", "logits"}, "an example's vector");
  }
};

class SimilarityPreserving final : public VectorLoss {
 public:
  SimilarityPreserving(const Params& params, const LossSetup& setup) : VectorLoss(params.of, 0, setup) {}
  Unit unit() const override { return Unit::kBatch; }

 private:
  at::Tensor of_vectors(const at::Tensor& student, const at::Tensor& teacher, std::size_t,
                        const LossInput&) override {
    return at::mse_loss(directions(at::mm(student, student.t())), directions(at::mm(teacher, teacher.t())));
  }
};

unsigned needs(const Json& params) {
  return VectorsOf{read_params<Params>(params).of}.needs();
}

}  // namespace

extern const LossKind sp_loss;
const LossKind sp_loss = {"sp",
                          "similarity of the batch's examples, row by row",
                          "Tung and Mori 2019, arXiv:1907.09682",
                          list_params<Params>,
                          needs,
                          make_loss<SimilarityPreserving, Params>};

}  // namespace penjing::distill
