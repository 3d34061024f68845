// ft: Kim, Park and Kwak 2018, "Paraphrasing Complex Network: Network Compression via Factor Transfer".
// A paraphraser, an auto-encoder of the teacher's features (factor of `rate` of their channels), is trained
// on their reconstruction (MSE) in the first `paraphraser` share of the training, and is then a constant; in
// the rest a translator makes a factor of the student's features that is to be the teacher's: form = code
// (RepDistiller): of both factors the attention map Q^ of at.cc (squares, mean over channels,
//   normalised over a sample's positions); the mean over positions of |Q^_S - Q^_T|.
// form = paper (equation 5): |F_T / |F_T|_2 - F_S / |F_S|_2|_1 of a sample's whole factor, the mean over
// samples. Three layers each for paraphraser's encoder, its decoder and translator, leaky ReLU 0.1 after
// each; the translator's with batch norm (norm = false: without), as in the code. A 3x3 convolution of an
// image becomes one over `kernel` tokens of a sequence (1: each token alone), 0 beyond its ends.
#include <array>

#include "distill/learned_maps.h"
#include "distill/sequence_numerics.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string form = "code", kernel = "3";
  double rate = 0.5, paraphraser = 0.1;
  bool norm = true;
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("form", form, {"code", "paper"}, "attention maps of the factors, or the factors themselves");
    v.number("rate", rate, 0.01, 2, "channels of the factor, of the teacher's width");
    v.number("paraphraser", paraphraser, 0, 0.9, "share of the training in which the paraphraser is trained");
    v.choice("kernel", kernel, {"3", "1"}, "tokens that a layer sees");
    v.flag("norm", norm, "batch norm in the translator");
  }
};

class FactorTransfer final : public LayerLoss {
 public:
  FactorTransfer(const Params& params, const LossSetup& setup) : LayerLoss(kRows, setup), params_(params) {
    for (std::size_t i = 0; i < setup.places.size(); ++i) {
      const auto [student, teacher] = setup.places[i];
      const int64_t factor =
          std::max<int64_t>(1, static_cast<int64_t>(params.rate * static_cast<double>(teacher)));
      const auto stack = [&](const char* name, std::array<int64_t, 4> widths, bool norm) {
        Stack layers;
        for (std::size_t k = 0; k < layers.size(); ++k) {
          const std::string at = fmt::format("{}.{}.{}", i, name, k);
          const int64_t in = widths[k] * (params.kernel == "3" ? 3 : 1), out = widths[k + 1];
          layers[k].linear = LearnedLinear(setup, at, in, out, true, default_deviation(in));
          if (norm) layers[k].norm = LearnedBatchNorm(setup, at + ".norm", out);
        }
        return layers;
      };
      encoders_.push_back(stack("paraphraser.encoder", {teacher, teacher, factor, factor}, false));
      decoders_.push_back(stack("paraphraser.decoder", {factor, factor, teacher, teacher}, false));
      translators_.push_back(stack("translator", {student, student, factor, factor}, params.norm));
    }
  }
  Unit unit() const override {
    return params_.norm ? Unit::kBatch : params_.form == "code" ? Unit::kTokens : Unit::kSequences;
  }

 private:
  struct Layer {
    LearnedLinear linear;
    LearnedBatchNorm norm;
  };
  using Stack = std::array<Layer, 3>;

  at::Tensor run(const Stack& layers, at::Tensor rows, const LossInput& input) const {
    for (const Layer& layer : layers) {
      rows = layer.linear(params_.kernel == "3" ? with_neighbours(rows, input.offsets) : rows);
      if (layer.norm.is_there()) rows = layer.norm(rows);
      rows = at::leaky_relu(rows, 0.1);
    }
    return rows;
  }
  at::Tensor attention_map(const at::Tensor& factor, const LossInput& input) const {
    return sequence_directions((factor * factor).mean({1}), input.offsets);
  }
  // Each sequence's factor divided by its Euclidean length over tokens and channels.
  at::Tensor unit_factor(const at::Tensor& factor, const LossInput& input) const {
    const at::Tensor squares = sequence_sums((factor * factor).sum({1}), input.offsets);
    const at::Tensor lengths = at::where(squares > 1e-24, squares, at::ones_like(squares)).sqrt();
    return factor / lengths.index_select(0, sequence_numbers(input.offsets, factor.device())).unsqueeze(1);
  }
  at::Tensor of_place(const LayerOutputs& student, const LayerOutputs& teacher, std::size_t place,
                      const LossInput& input) override {
    at::Tensor goal = run(encoders_[place], teacher.rows, input);
    if (input.progress < params_.paraphraser)
      return at::mse_loss(run(decoders_[place], goal, input), teacher.rows);
    goal = goal.detach();
    const at::Tensor factor = run(translators_[place], student.rows, input);
    if (params_.form == "code")
      return (attention_map(factor, input) - attention_map(goal, input)).abs().mean();
    return (unit_factor(factor, input) - unit_factor(goal, input)).abs().sum() /
           static_cast<double>(input.offsets.size() - 1);
  }

  Params params_;
  std::vector<Stack> encoders_, decoders_, translators_;
};

}  // namespace

extern const LossKind ft_loss;
const LossKind ft_loss = {"ft",
                          "factor transfer: a paraphrase of hidden states, by an auto-encoder",
                          "Kim et al. 2018, arXiv:1802.04977",
                          list_params<Params>,
                          always_needs<kRows>,
                          make_loss<FactorTransfer, Params>,
                          [](const Json& params) { return read_params<Params>(params).paraphraser; }};

}  // namespace penjing::distill
