// bf16: rows and the operands of products BF16, sums of products FP32 (oneDNN), master weights FP32. Its
// range is that of FP32, so the loss needs no scale. Kalamkar et al. 2019, "A Study of BFLOAT16 for Deep
// Learning Training".
#include "base/error.h"
#include "train/arithmetic.h"

namespace penjing::train {

namespace {

// y = x W^T + b, the bias added within the product. Gradients: of the input BF16; of the weight a BF16
// product (ATen's products have one type in and out) given on as FP32; of the bias an FP32 sum.
class Product : public torch::autograd::Function<Product> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight, const c10::optional<at::Tensor>& bias) {
    const at::Tensor narrow = weight.to(at::kBFloat16);
    context->save_for_backward({x, narrow});
    context->saved_data["has_bias"] = bias.has_value();
    return at::linear(x, narrow, bias ? bias->to(at::kBFloat16) : at::Tensor());
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& weight = saved[1];
    const at::Tensor gradient = gradients[0].to(at::kBFloat16);
    torch::autograd::variable_list result(3);
    if (context->needs_input_grad(0)) result[0] = at::mm(gradient, weight);
    if (context->needs_input_grad(1)) result[1] = at::mm(gradient.t(), x).to(at::kFloat);
    if (context->saved_data["has_bias"].toBool() && context->needs_input_grad(2))
      result[2] = at::sum(gradient, {0}, false, at::kFloat);
    return result;
  }
};

class Bfloat16 final : public Arithmetic {
 public:
  std::string name() const override { return "bf16"; }
  at::ScalarType row_type() const override { return at::kBFloat16; }
  at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                    std::string_view site) override {
    if (x.scalar_type() != at::kBFloat16 || weight.scalar_type() != at::kFloat)
      fail(ErrorKind::kInternal, "{}: wanted BF16 rows and an FP32 weight, found {} and {}", site,
           at::toString(x.scalar_type()), at::toString(weight.scalar_type()));
    const c10::optional<at::Tensor> given = bias.defined() ? c10::optional<at::Tensor>(bias) : c10::nullopt;
    return Product::apply(x, weight, given);
  }
};

}  // namespace

extern const Precision bf16_precision;
const Precision bf16_precision = {
    "bf16", "BF16 rows and products, FP32 sums and master weights",
    "bf16", false,
    false,  []() -> std::unique_ptr<Arithmetic> { return std::make_unique<Bfloat16>(); }};

}  // namespace penjing::train
