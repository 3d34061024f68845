// fp16: what half precision computes, emulated exactly on CPUs that have none: the operands and the result of
// every operation are FP16 numbers, held in FP32 tensors; products and what a fused operation does inside
// (attention, LayerNorm) sum in FP32, as tensor cores and fused kernels do; gradients likewise; master
// weights FP32. The gradients of a value that several operations read are summed in FP32 and rounded once.
// Slow: it computes in FP32 and rounds besides. Micikevicius et al. 2018, "Mixed Precision Training".
#include "train/arithmetic.h"
#include "train/rounded_product.h"

namespace penjing::train {

namespace {

class HalfRounding final : public ProductRounding {
 public:
  Operand operand(const at::Tensor& x, Role role, std::string_view site) override {
    switch (role) {
      case Role::kInput:
        return {rounded(x, site, "input")};
      case Role::kWeight:
        return {rounded(x, site, "weight")};
      case Role::kGradient:
        return {x};  // is a result already
    }
    return {};
  }
  at::Tensor result(const at::Tensor& y, std::string_view site, const char* tensor) override {
    return rounded(y, site, tensor);
  }
  at::Tensor rounded(const at::Tensor& x, std::string_view site, const char* tensor) {
    bool not_finite = false;
    at::Tensor y = round_to(format_, Overflow::kInfinity, x, &not_finite);
    if (not_finite) note_overflow(format_, x, y, site, tensor);
    return y;
  }

 private:
  const FloatFormat& format_ = *find_float_format("fp16");
};

class Float16 final : public Arithmetic {
 public:
  std::string name() const override { return "fp16"; }
  at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                    std::string_view site) override {
    // The bias is an operand too: FP16 where it is added.
    const at::Tensor narrow = bias.defined() ? rounded_result(rounding_, bias, site) : bias;
    return rounded_linear(rounding_, x, weight, narrow, site);
  }
  at::Tensor round(const at::Tensor& x, std::string_view site) override {
    return rounded_result(rounding_, x, site);
  }
  std::vector<OverflowReport> take_overflows() override { return rounding_->take_overflows(); }

 private:
  ProductRoundingPtr rounding_ = c10::make_intrusive<HalfRounding>();
};

}  // namespace

extern const Precision fp16_precision;
const Precision fp16_precision = {
    "fp16", "FP16 rows and products, FP32 sums and master weights, emulated: exact and slow", "fp16", true,
    true,   []() -> std::unique_ptr<Arithmetic> { return std::make_unique<Float16>(); }};

}  // namespace penjing::train
