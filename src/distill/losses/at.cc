// at: Zagoruyko and Komodakis 2017, "Paying More Attention to Attention": where the activations are large.
// Q_t = mean over channels of |f_t|^p at position t, Q^ = Q / |Q|_2 over a sample's positions.
// form = code (RepDistiller): the mean over all positions of (Q^_S - Q^_T)^2.
// form = paper (equation 2): 1/2 |Q^_S - Q^_T|_2, the mean over samples (its beta is the loss' weight).
// A sample's positions are the tokens of its sequence, so that widths may differ and no pooling is needed; a
// sequence of one token has Q^ = 1 on both sides.
#include "distill/loss.h"
#include "distill/row_numerics.h"
#include "distill/sequence_numerics.h"
#include "train/split_sequences.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string form = "code";
  double power = 2;
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("form", form, {"code", "paper"}, "squared differences of each position, or distances of maps");
    v.number("power", power, 1, 8, "p, of the activations");
  }
};

class AttentionTransfer final : public LayerLoss {
 public:
  AttentionTransfer(const Params& params, const LossSetup& setup)
      : LayerLoss(kRows, setup), code_(params.form == "code"), power_(params.power) {}
  Unit unit() const override { return code_ ? Unit::kTokens : Unit::kSequences; }

 private:
  at::Tensor map(const at::Tensor& rows, const LossInput& input) const {
    const at::Tensor powers = power_ == 2 ? rows * rows : rows.abs().pow(power_);
    return sequence_directions(powers.mean({1}), input.offsets);
  }
  at::Tensor of_place(const LayerOutputs& student, const LayerOutputs& teacher, std::size_t,
                      const LossInput& input) override {
    const at::Tensor difference = map(student.rows, input) - map(teacher.rows, input);
    if (code_) return (difference * difference).mean();
    at::Tensor sum;
    for (const at::Tensor& of_sequence : train::split_sequences(difference, input.offsets)) {
      const at::Tensor distance = of_sequence.norm();
      sum = sum.defined() ? sum + distance : distance;
    }
    return 0.5 * sum / static_cast<double>(input.offsets.size() - 1);
  }

  bool code_;
  double power_;
};

}  // namespace

extern const LossKind at_loss;
const LossKind at_loss = {"at",
                          "attention transfer: which tokens have large activations",
                          "Zagoruyko and Komodakis 2017, arXiv:1612.03928",
                          list_params<Params>,
                          always_needs<kRows>,
                          make_loss<AttentionTransfer, Params>};

}  // namespace penjing::distill
