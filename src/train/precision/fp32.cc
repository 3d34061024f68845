// fp32: products and results FP32, as ATen computes them.
#include "train/arithmetic.h"

namespace penjing::train {

namespace {

class Float32 final : public Arithmetic {
 public:
  std::string name() const override { return "fp32"; }
  at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                    std::string_view) override {
    return at::linear(x, weight, bias);
  }
};

}  // namespace

extern const Precision fp32_precision;
const Precision fp32_precision = {
    "fp32", "single precision",
    "fp32", false,
    false,  []() -> std::unique_ptr<Arithmetic> { return std::make_unique<Float32>(); }};

}  // namespace penjing::train
