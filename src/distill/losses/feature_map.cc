// feature_map: MobileBERT's feature map transfer (Sun et al. 2020, equation 1 and its decomposition): of each
// token `feature` * MSE of the rows after a layer norm without weights, `mean` * (mean_S - mean_T)^2 and
// `variance` * |var_S - var_T| of the row's elements; means over tokens. The defaults are the released
// script's. form = released: as the released code computes the last two, against the statistics of every
// matched teacher layer
//   instead of the layer's own (it averages over `teacher_hiddens`, the whole list).
#include "distill/loss.h"
#include "distill/row_numerics.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string form = "paper";
  double feature = 100, mean = 5000, variance = 5;
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("form", form, {"paper", "released"},
             "statistics of the matched layer, or of all matched layers");
    v.number("feature", feature, 0, 1e6, "weight of the normalised rows");
    v.number("mean", mean, 0, 1e6, "weight of the rows' means");
    v.number("variance", variance, 0, 1e6, "weight of the rows' variances");
  }
};

struct Statistics {
  at::Tensor mean, variance;  // [T]
};
Statistics statistics_of(const at::Tensor& rows) {
  const at::Tensor mean = rows.mean({1}, true);
  return {mean.squeeze(1), ((rows - mean) * (rows - mean)).mean({1})};
}

class FeatureMap final : public LayerLoss {
 public:
  FeatureMap(const Params& params, const LossSetup& setup) : LayerLoss(kRows, setup), params_(params) {}
  Unit unit() const override { return Unit::kTokens; }

 private:
  at::Tensor of_place(const LayerOutputs& student, const LayerOutputs& teacher, std::size_t,
                      const LossInput& input) override {
    const at::Tensor value =
        params_.feature * at::mse_loss(normalised_rows(student.rows), normalised_rows(teacher.rows));
    const Statistics s = statistics_of(student.rows);
    const auto difference = [&](const LayerOutputs& layer) {
      const Statistics t = statistics_of(layer.rows);
      return params_.mean * at::mse_loss(s.mean, t.mean) +
             params_.variance * (s.variance - t.variance).abs().mean();
    };
    if (params_.form == "paper") return value + difference(teacher);
    at::Tensor sum;
    for (const LayerOutputs& layer : input.teacher.layers) {
      sum = sum.defined() ? sum + difference(layer) : difference(layer);
    }
    return value + sum / static_cast<double>(input.teacher.layers.size());
  }

  Params params_;
};

}  // namespace

extern const LossKind feature_map_loss;
const LossKind feature_map_loss = {"feature_map",
                                   "hidden states after layer norm, with their means and variances",
                                   "Sun et al. 2020, arXiv:2004.02984",
                                   list_params<Params>,
                                   always_needs<kRows | kEqualWidths>,
                                   make_loss<FeatureMap, Params>};

}  // namespace penjing::distill
