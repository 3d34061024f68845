// fsp: Yim et al. 2017, "A Gift from Knowledge Distillation": how features flow from one layer to the next,
// G = (1 / L) S_i^T S_{i+1} for matched places i and i + 1 of a sequence of L tokens; the mean over a batch's
// sequences and G's elements of (G_S - G_T)^2, summed over neighbouring places. Paper and code agree
// (RepDistiller; TextBrewer's fsp for tokens). Widths must be equal: the plan projects. The paper trains with
// it alone first: a stage of the plan.
#include "distill/loss.h"
#include "train/split_sequences.h"

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
  static std::vector<at::Tensor> flows(const Side& side, std::size_t place, const LossInput& input) {
    std::vector<at::Tensor> from = train::split_sequences(side.layers[place].rows, input.offsets);
    const std::vector<at::Tensor> to = train::split_sequences(side.layers[place + 1].rows, input.offsets);
    for (std::size_t i = 0; i < from.size(); ++i)
      from[i] = at::mm(from[i].t(), to[i]) / static_cast<double>(from[i].size(0));
    return from;
  }
  at::Tensor compute(const LossInput& input) override {
    const std::size_t pairs = input.student.layers.size() - 1, sequences = input.offsets.size() - 1;
    at::Tensor sum;
    for (std::size_t place = 0; place < pairs; ++place) {
      const std::vector<at::Tensor> student = flows(input.student, place, input);
      const std::vector<at::Tensor> teacher = flows(input.teacher, place, input);
      for (std::size_t i = 0; i < sequences; ++i) {
        const at::Tensor term = at::mse_loss(student[i], teacher[i]);
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
