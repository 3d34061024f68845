// tf32: the operands of products, forward and backward, rounded to TF32's 10 bits of mantissa; FP32 sums and
// results (NVIDIA A100). For study: as fast as FP32 with the rounding on top.
#include "train/arithmetic.h"
#include "train/rounded_product.h"

namespace penjing::train {

namespace {

class Tf32Rounding final : public ProductRounding {
 public:
  Operand operand(const at::Tensor& x, Role, std::string_view) override {
    return {round_to(format_, Overflow::kInfinity, x)};
  }

 private:
  const FloatFormat& format_ = *find_float_format("tf32");
};

class Tf32 final : public Arithmetic {
 public:
  std::string name() const override { return "tf32"; }
  at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                    std::string_view site) override {
    return rounded_linear(rounding_, x, weight, bias, site);
  }

 private:
  ProductRoundingPtr rounding_ = c10::make_intrusive<Tf32Rounding>();
};

}  // namespace

extern const Precision tf32_precision;
const Precision tf32_precision = {
    "tf32", "operands of products with 10 bits of mantissa, emulated",
    "fp32", false,
    true,   []() -> std::unique_ptr<Arithmetic> { return std::make_unique<Tf32>(); }};

}  // namespace penjing::train
