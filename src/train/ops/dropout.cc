#include "kernels/train_dropout/train_dropout.h"
#include "train/ops/kernel_rows.h"
#include "train/ops/reference.h"

namespace penjing::train {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

uint32_t fold(uint64_t v) {
  return static_cast<uint32_t>(v) ^ (static_cast<uint32_t>(v >> 32) * 0x9E3779B9u);
}

// residual + dropout(x) of contiguous rows.
at::Tensor run(const at::Tensor& x, const at::Tensor& residual, const DropoutSite& dropout,
               const at::Tensor& row_keys) {
  at::Tensor y = at::empty(x.sizes(), x.options());
  const int64_t width = x.size(1);
  const int64_t* keys = dropout.probability > 0 ? row_keys.data_ptr<int64_t>() : nullptr;
  const auto& kernel = train_dropout::select();
  at::parallel_for(0, x.size(0), rows_a_thread(width), [&](int64_t begin, int64_t end) {
    train_dropout::Args args;
    args.element = element_of(x);
    args.rows = end - begin;
    args.width = width;
    args.dropout = kernel_dropout(dropout);
    args.row_keys = keys == nullptr ? nullptr : keys + begin;
    args.x = advance<const void>(x.data_ptr(), x, begin, width);
    args.residual = advance<const void>(rows_or_null(residual), x, begin, width);
    args.y = advance(y.data_ptr(), x, begin, width);
    kernel.run(args);
  });
  return y;
}

struct Values {
  DropoutSite dropout;
  bool has_residual;
};

struct DropoutAdd : torch::autograd::Function<DropoutAdd> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const MaybeTensor& residual,
                            const MaybeTensor& keys, const DropoutSite& dropout) {
    const at::Tensor row_keys = tensor_or_undefined(keys);
    keep_values(*context, Values{dropout, residual.has_value()});
    context->save_for_backward({row_keys});
    return run(x.contiguous(), tensor_or_undefined(residual), dropout, row_keys);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto [dropout, has_residual] = kept_values<Values>(*context);
    const at::Tensor dy = gradients[0].contiguous();
    const at::Tensor d_x =
        dropout.probability > 0 ? run(dy, {}, dropout, context->get_saved_variables()[0]) : dy;
    return {d_x, has_residual ? dy : at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

train_rows::Dropout kernel_dropout(const DropoutSite& site) {
  train_rows::Dropout dropout;
  if (site.probability <= 0) return dropout;
  dropout.threshold = static_cast<uint32_t>(site.probability * 4294967296.0);
  dropout.seed = fold(site.key.seed);
  dropout.site = site.site;
  dropout.step = fold(site.key.step);
  dropout.kept = static_cast<float>(1.0 / (1.0 - site.probability));
  return dropout;
}

at::Tensor dropout_add(const at::Tensor& x, const at::Tensor& residual, const DropoutSite& dropout,
                       const at::Tensor& row_keys) {
  if (dropout.probability <= 0 && !residual.defined()) return x;
  if (!has_kernel(x) || (residual.defined() && residual.scalar_type() != x.scalar_type()))
    return reference::dropout_add(x, residual, dropout, row_keys);
  return DropoutAdd::apply(x, maybe(residual), maybe(row_keys), dropout);
}

}  // namespace penjing::train
