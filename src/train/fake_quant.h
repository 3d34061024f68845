#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "numerics/quantizer.h"
#include "train/encoder.h"
#include "train/fake_quant_settings.h"

namespace penjing::train {

// The differentiable pieces of quantization-aware training. x [rows, columns]; values are computed in FP32
// with numerics/quantizer.h's arithmetic, x^ = scale * (q - zero_point), and given back in the type of x.
// Backward is the straight-through estimator (Jacob et al. 2018), clipped: the gradient of a value that was
// clamped is 0.

// Each row by its own range, of the moment (a token's, or a weight's output channel): nothing is clamped.
at::Tensor fake_quantize_rows(const at::Tensor& x, IntegerRange range, bool symmetric);
// By the range of the whole tensor, of the moment.
at::Tensor fake_quantize_tensor(const at::Tensor& x, IntegerRange range, bool symmetric);
// By a range found before.
at::Tensor fake_quantize_fixed(const at::Tensor& x, IntegerRange range, const QuantParams& params);
// With a scale that is learned (Esser et al. 2020, "Learned Step Size Quantization", equations 2 to 5), one a
// row
// ([rows, 1]) or one in all ([1]). With v = x / scale, lo and hi the codes' bounds less the zero point:
//   lo < v < hi:  dx = g                       dscale = sum g (round(v) - v) * factor
//   else:         dx = 0                       dscale = sum g (lo or hi)     * factor
// factor: 1 / sqrt(N hi) with N values a scale, as the paper has it. Throws kFormat (named `what`) when a
// scale is no positive normal number.
at::Tensor fake_quantize_learned(const at::Tensor& x, const at::Tensor& scale, IntegerRange range,
                                 int32_t zero_point, double factor, std::string_view what);

// Quantization-aware training of a model's encoder as `penjing quantize` would store it: the same layers, the
// same integers. Learned scales become parameters, NAME.weight_scale and NAME.input_scale: not to be decayed.
class LinearFakeQuantizer final : public FakeQuantizer {
 public:
  LinearFakeQuantizer(const Description& description, Parameters& parameters,
                      const FakeQuantSettings& settings);

  at::Tensor input(std::string_view module, const at::Tensor& x) override;
  at::Tensor weight(std::string_view module, const at::Tensor& w) override;
  // Outside of training, in FP32: sums of products of codes, which FP32 holds exactly below 2^24, times the
  // two scales, as the runtime has it.
  at::Tensor product(std::string_view module, const at::Tensor& x, const at::Tensor& w,
                     const at::Tensor& bias) override;
  at::Tensor table(std::string_view name, const at::Tensor& w) override;
  // Outside of training, without gradients.
  bool is_exact() const override;
  bool attention_in_integers(const AttentionSpec& spec) override;

  // Moving ranges follow what they see in training only: each forward's extremes with weight 0.01, the first
  // forward's whole. Learned input scales begin with the first forward's extremes.
  void set_training(bool training) { training_ = training; }

  // What is no parameter: moving ranges, zero points. restore throws kFormat.
  Json state() const;
  void restore(const Json& state);

  // A model that the parameters were stored in (store_parameters), as `penjing quantize` stores it, with the
  // ranges and scales of training; embeddings and attention are integers too. Throws kInput when a range has
  // not been seen.
  Model quantized(const Model& trained) const;

 private:
  struct Layer {
    LinearSpec spec;
    std::string input_scale, weight_scale;  // names of learned parameters, or empty
    bool seen = false;                      // low and high hold something
    float low = 0, high = 0;
    int32_t zero_point = 0;  // learned: fixed by the first forward
  };
  Layer* find(std::string_view module);
  void see(Layer& layer, const at::Tensor& x);
  QuantParams input_params(const Layer& layer) const;
  QuantParams weight_params(const Layer& layer, int64_t row) const;
  at::Tensor input_scales(const Layer& layer, const at::Tensor& x) const;
  at::Tensor weight_scales(const Layer& layer, const at::Tensor& w) const;
  void store_learned(const Model& trained, Model& model) const;

  Parameters& parameters_;
  FakeQuantSettings settings_;
  IntegerRange weight_range_, input_range_;
  std::map<std::string, Layer, std::less<>> layers_;
  std::set<std::string, std::less<>> tables_;  // of the embeddings, those that are quantized
  bool training_ = true;
  at::Tensor last_input_, last_result_;  // Q, K and V read one value
};

}  // namespace penjing::train
