#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "numerics/float_format.h"
#include "train/overflow.h"
#include "train/torch.h"

namespace penjing::train {

// FP32 values rounded to nearest-even to those of a format, FP32 again. x: FP32, any shape, on the CPU.
// `not_finite`, where given, becomes true when a result is not finite.
at::Tensor round_to(const FloatFormat& format, Overflow overflow, const at::Tensor& x,
                    bool* not_finite = nullptr);

// What a number of a product is: formats differ between forward operands and gradients (FP8).
enum class Role { kInput, kWeight, kGradient };

struct Operand {
  at::Tensor values;  // of the format
  double scale = 1;   // what they were multiplied by
};

// The rounding of products and their gradients, y = x W^T + b with FP32 sums. Shared by the graphs of the
// forwards that use it.
class ProductRounding : public torch::CustomClassHolder {
 public:
  virtual Operand operand(const at::Tensor& x, Role role, std::string_view site) = 0;
  // A result before anyone reads it; `tensor` as in OverflowReport.
  virtual at::Tensor result(const at::Tensor& y, std::string_view site, const char* tensor) {
    (void)site, (void)tensor;
    return y;
  }
  std::vector<OverflowReport> take_overflows();

 protected:
  // Notes a tensor some of whose values are not finite once rounded. The first causes count: tensors that
  // only have passed on what was not finite before are left out unless they are the first.
  void note_overflow(const FloatFormat& format, const at::Tensor& before, const at::Tensor& after,
                     std::string_view site, const char* tensor);

 private:
  std::mutex mutex_;
  std::vector<OverflowReport> overflows_;
};
using ProductRoundingPtr = c10::intrusive_ptr<ProductRounding>;

// y = x W^T + b where each operand is rounded before a product and each result after, forward and backward:
//   y = R(X W^T / (s_x s_w) + b),  dx = R(G W / (s_g s_w)),  dW = R(G^T X / (s_g s_x)),  db = R(sum of rows
//   of g)
// with X, W, G the rounded operands and s their scales. x [tokens, in], weight [out, in], bias [out] or
// undefined, all FP32.
at::Tensor rounded_linear(const ProductRoundingPtr& rounding, const at::Tensor& x, const at::Tensor& weight,
                          const at::Tensor& bias, std::string_view site);

// R(x); its gradient is R(g).
at::Tensor rounded_result(const ProductRoundingPtr& rounding, const at::Tensor& x, std::string_view site);

}  // namespace penjing::train
