#include "kernels/train_activation/train_activation.h"
#include "train/ops/kernel_rows.h"
#include "train/ops/pointwise_function.h"
#include "train/ops/reference.h"

namespace penjing::train {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// act(x), or with dy the gradient of x, of contiguous tensors.
at::Tensor run(const at::Tensor& x, const at::Tensor& dy, Activation activation) {
  at::Tensor result = at::empty(x.sizes(), x.options());
  const auto& kernel = train_activation::select();
  at::parallel_for(0, x.numel(), 16384, [&](int64_t begin, int64_t end) {
    train_activation::Args args;
    args.element = element_of(x);
    args.function = function_of(activation);
    args.size = end - begin;
    args.x = advance<const void>(x.data_ptr(), x, begin, 1);
    args.dy = advance<const void>(rows_or_null(dy), x, begin, 1);
    args.result = advance(result.data_ptr(), x, begin, 1);
    dy.defined() ? kernel.backward(args) : kernel.forward(args);
  });
  return result;
}

struct Activate : torch::autograd::Function<Activate> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, Activation activation) {
    const at::Tensor rows = x.contiguous();
    keep_values(*context, activation);
    context->save_for_backward({rows});
    return run(rows, {}, activation);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor x = context->get_saved_variables()[0];
    return {run(x, gradients[0].contiguous(), kept_values<Activation>(*context)), at::Tensor()};
  }
};

}  // namespace

at::Tensor activate(const at::Tensor& x, Activation activation) {
  if (activation == Activation::kNone || !has_kernel(x)) return reference::activate(x, activation);
  return Activate::apply(x, activation);
}

}  // namespace penjing::train
