// nst: Huang and Wang 2017, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer": the
// maximum mean discrepancy, with kernel k(x, y) = (x . y)^2, between the sets of channels, each a vector over
// a sequence's tokens divided by its length: mean k(t, t) + mean k(s, s) - 2 mean k(s, t), the mean over
// sequences. With F [L, C] the sequence's rows, columns of length 1, mean k(s, t) = <F_S F_S^T, F_T F_T^T> /
// (C_S C_T), so that the discrepancy is |F_S F_S^T / C_S - F_T F_T^T / C_T|_F^2: that is computed, without
// cancellation and without C x C matrices. Widths may differ. form = code: this (RepDistiller). form = gram:
// TextBrewer's mmd for tokens: columns as they are, the mean over the L^2 elements of all sequences instead
// of the sum.
#include "distill/loss.h"
#include "distill/sequence_numerics.h"
#include "train/split_sequences.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string form = "code";
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("form", form, {"code", "gram"}, "discrepancy of normalised channels, or of products of tokens");
  }
};

class NeuronSelectivity final : public LayerLoss {
 public:
  NeuronSelectivity(const Params& params, const LossSetup& setup)
      : LayerLoss(kRows, setup), code_(params.form == "code") {}
  Unit unit() const override { return code_ ? Unit::kSequences : Unit::kSquares; }

 private:
  at::Tensor of_place(const LayerOutputs& student, const LayerOutputs& teacher, std::size_t,
                      const LossInput& input) override {
    const auto features = [&](const at::Tensor& rows) {
      return code_ ? sequence_directions(rows, input.offsets) : rows;
    };
    const auto gram = [&](const at::Tensor& x) { return at::mm(x, x.t()) / static_cast<double>(x.size(1)); };
    const std::vector<at::Tensor> s = train::split_sequences(features(student.rows), input.offsets);
    const std::vector<at::Tensor> t = train::split_sequences(features(teacher.rows), input.offsets);
    at::Tensor sum;
    for (std::size_t i = 0; i < s.size(); ++i) {
      const at::Tensor term = at::mse_loss(gram(s[i]), gram(t[i]), at::Reduction::Sum);
      sum = sum.defined() ? sum + term : term;
    }
    return sum / units(input);
  }

  bool code_;
};

}  // namespace

extern const LossKind nst_loss;
const LossKind nst_loss = {"nst",
                           "neuron selectivity: on which tokens channels are active",
                           "Huang and Wang 2017, arXiv:1707.01219",
                           list_params<Params>,
                           always_needs<kRows>,
                           make_loss<NeuronSelectivity, Params>};

}  // namespace penjing::distill
