// fp8: inputs and weights of products E4M3, gradients E5M2, each tensor scaled so that its largest magnitude
// becomes the format's largest number (the scale of the moment, of the whole tensor); FP32 sums and results.
// For study, emulated. Micikevicius et al. 2022, "FP8 Formats for Deep Learning".
#include <algorithm>
#include <cmath>

#include "train/arithmetic.h"
#include "train/rounded_product.h"

namespace penjing::train {

namespace {

// Beyond these a scale or its inverse would leave FP32; a tensor as small is zero for all that follows.
constexpr double kLargestScale = 0x1p100, kSmallestScale = 0x1p-100;

class Fp8Rounding final : public ProductRounding {
 public:
  Operand operand(const at::Tensor& x, Role role, std::string_view site) override {
    const FloatFormat& format = role == Role::kGradient ? gradient_ : forward_;
    const double largest = x.numel() > 0 ? x.abs().max().item<double>() : 0;
    if (!std::isfinite(largest)) {
      note_overflow(format, x, x, site,
                    role == Role::kGradient ? "gradient of output"
                    : role == Role::kInput  ? "input"
                                            : "weight");
    }
    Operand operand;
    if (largest > 0 && std::isfinite(largest))
      operand.scale = std::clamp(format.largest() / largest, kSmallestScale, kLargestScale);
    operand.scale = static_cast<double>(static_cast<float>(operand.scale));
    // Saturating: largest * scale may be rounded up, past the largest number. What is not finite stays so.
    operand.values = round_to(format, std::isfinite(largest) ? Overflow::kSaturate : Overflow::kInfinity,
                              operand.scale == 1 ? x : x * operand.scale);
    return operand;
  }

 private:
  const FloatFormat& forward_ = *find_float_format("fp8_e4m3");
  const FloatFormat& gradient_ = *find_float_format("fp8_e5m2");
};

class Float8 final : public Arithmetic {
 public:
  std::string name() const override { return "fp8"; }
  at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                    std::string_view site) override {
    return rounded_linear(rounding_, x, weight, bias, site);
  }
  std::vector<OverflowReport> take_overflows() override { return rounding_->take_overflows(); }

 private:
  ProductRoundingPtr rounding_ = c10::make_intrusive<Fp8Rounding>();
};

}  // namespace

extern const Precision fp8_precision;
const Precision fp8_precision = {
    "fp8", "products of E4M3 operands and E5M2 gradients, scaled by tensor, emulated", "fp8_e5m2", false,
    true,  []() -> std::unique_ptr<Arithmetic> { return std::make_unique<Float8>(); }};

}  // namespace penjing::train
