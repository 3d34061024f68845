// fsp: Yim et al. 2017, "A Gift from Knowledge Distillation": how features flow from one layer to the next,
// G = (1 / L) S_i^T S_{i+1} for matched places i and i + 1 of a sequence of L tokens; the mean over a batch's
// sequences and G's elements of (G_S - G_T)^2, summed over neighbouring places. Paper and code agree
// (RepDistiller; TextBrewer's fsp for tokens). Widths must be equal: the plan projects. The paper trains with
// it alone first: a stage of the plan.
#include "distill/loss.h"
#include "distill/sequence_numerics.h"

namespace penjing::distill {

namespace {

class Fsp final : public Loss {
 public:
  Fsp(const NoParams&, const LossSetup& setup) : Loss(kRows), mean_(setup.mean_over_places) {
    if (setup.places.size() < 2) {
      fail(ErrorKind::kInput, "fsp: {} matched layers, wanted two at least", setup.places.size());
    }
  }
  Unit unit() const override { return Unit::kSequences; }

 private:
  static at::Tensor flow(const Side& side, std::size_t place, std::size_t sequence, const LossInput& input) {
    const at::Tensor from = sequence_rows(side.layers[place].rows, input.offsets, sequence);
    const at::Tensor to = sequence_rows(side.layers[place + 1].rows, input.offsets, sequence);
    return at::mm(from.t(), to) / static_cast<double>(from.size(0));
  }
  at::Tensor compute(const LossInput& input) override {
    const std::size_t pairs = input.student.layers.size() - 1, sequences = input.offsets.size() - 1;
    at::Tensor sum;
    for (std::size_t place = 0; place < pairs; ++place) {
      for (std::size_t i = 0; i < sequences; ++i) {
        const at::Tensor term =
            at::mse_loss(flow(input.student, place, i, input), flow(input.teacher, place, i, input));
        sum = sum.defined() ? sum + term : term;
      }
    }
    return sum / static_cast<double>(mean_ ? sequences * pairs : sequences);
  }

  bool mean_;
};

}  // namespace

extern const LossKind fsp_loss;
const LossKind fsp_loss = {"fsp",
                           "flow between layers: products of neighbouring layers' hidden states",
                           "Yim et al. 2017, CVPR",
                           list_params<NoParams>,
                           always_needs<kRows | kEqualWidths>,
                           make_loss<Fsp, NoParams>};

}  // namespace penjing::distill
