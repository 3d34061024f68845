#include "train/arithmetic.h"

#include "base/error.h"

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

// BF16 operands and results, FP32 sums (oneDNN), FP32 master weights.
class Bfloat16 final : public Arithmetic {
 public:
  std::string name() const override { return "bf16"; }
  at::ScalarType row_type() const override { return at::kBFloat16; }
  at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                    std::string_view) override {
    return at::linear(x, weight.to(at::kBFloat16), bias.defined() ? bias.to(at::kBFloat16) : bias);
  }
};

}  // namespace

std::unique_ptr<Arithmetic> make_arithmetic(std::string_view precision) {
  if (precision == "fp32") return std::make_unique<Float32>();
  if (precision == "bf16") return std::make_unique<Bfloat16>();
  fail(ErrorKind::kInput, "precision \"{}\"; there are fp32 and bf16", precision);
}

}  // namespace penjing::train
