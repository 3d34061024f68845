#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "train/overflow.h"
#include "train/torch.h"

namespace penjing::train {

// How a forward and its backward compute: one file a precision in train/precision/, a line in precisions.def.
// The master weights are FP32 in every one.
class Arithmetic {
 public:
  virtual ~Arithmetic() = default;
  virtual std::string name() const = 0;
  // What rows are stored as between operations: kFloat, or kBFloat16.
  virtual at::ScalarType row_type() const { return at::kFloat; }
  // y = x W^T + b. x: rows of row_type(); weight FP32 [out, in]; bias FP32 [out] or undefined. `site`: the
  // module's name, for what is recorded of it.
  virtual at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            std::string_view site) = 0;
  // What the result of any other operation becomes where results are rounded beyond row_type() (emulated
  // FP16); the gradient that comes back is rounded the same way.
  virtual at::Tensor round(const at::Tensor& x, std::string_view site) {
    (void)site;
    return x;
  }
  // Tensors that have overflowed since the last call, forward and backward, in the order in which they were
  // computed: the first is the cause. Empty in arithmetics that do not look (FP32's range).
  virtual std::vector<OverflowReport> take_overflows() { return {}; }
};

struct Precision {
  const char* name;             // "fp16"
  const char* summary;          // for --help
  const char* gradient_format;  // of numerics/float_format.h: what gradients are kept in between operations
  bool needs_loss_scaling;
  bool emulated;  // rounds numbers one by one in the CPU's memory
  std::unique_ptr<Arithmetic> (*make)();
};
std::span<const Precision* const> all_precisions();
const Precision& find_precision(std::string_view name);  // throws kInput naming those there are

// find_precision(precision).make().
std::unique_ptr<Arithmetic> make_arithmetic(std::string_view precision);

}  // namespace penjing::train
