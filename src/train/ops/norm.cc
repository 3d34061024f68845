#include "kernels/train_norm/train_norm.h"
#include "train/ops/kernel_rows.h"
#include "train/ops/reference.h"

namespace penjing::train {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Rows whose contributions to the gradients of scale and shift are one sum: these are then added up in the
// order of the rows, so that the result does not depend on the number of threads.
constexpr int64_t kChunkRows = 64;

struct Values {
  NormKind kind;
  float epsilon;
  DropoutSite dropout;
  bool has_residual, has_shift;
};

train_norm::Norm norm_of(NormKind kind) {
  switch (kind) {
    case NormKind::kLayerNorm:
      return train_norm::Norm::kLayerNorm;
    case NormKind::kRmsNorm:
      return train_norm::Norm::kRmsNorm;
    case NormKind::kAffine:
      break;
  }
  return train_norm::Norm::kAffine;
}

train_norm::Shape shape_of(const at::Tensor& x, const Values& values, const at::Tensor& row_keys,
                           int64_t begin, int64_t end) {
  train_norm::Shape shape;
  shape.element = element_of(x);
  shape.norm = norm_of(values.kind);
  shape.rows = end - begin;
  shape.width = x.size(1);
  shape.epsilon = values.epsilon;
  shape.dropout = kernel_dropout(values.dropout);
  shape.row_keys = values.dropout.probability > 0 ? row_keys.data_ptr<int64_t>() + begin : nullptr;
  return shape;
}

struct DropoutAddNorm : torch::autograd::Function<DropoutAddNorm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const MaybeTensor& maybe_residual,
                            const at::Tensor& scale, const MaybeTensor& maybe_shift,
                            const MaybeTensor& maybe_keys, const Values& values, bool differentiated) {
    const at::Tensor residual = tensor_or_undefined(maybe_residual), shift = tensor_or_undefined(maybe_shift),
                     row_keys = tensor_or_undefined(maybe_keys);
    const int64_t width = x.size(1);
    at::Tensor y = at::empty(x.sizes(), x.options());
    const at::Tensor z = !differentiated ? y : at::empty(x.sizes(), x.options());
    at::Tensor statistics;
    if (differentiated) statistics = at::empty({x.size(0), 2}, x.options().dtype(at::kFloat));
    const auto& kernel = train_norm::select();
    at::parallel_for(0, x.size(0), rows_a_thread(width), [&](int64_t begin, int64_t end) {
      train_norm::Forward args;
      args.shape = shape_of(x, values, row_keys, begin, end);
      args.x = advance<const void>(x.data_ptr(), x, begin, width);
      args.residual = advance<const void>(rows_or_null(residual), x, begin, width);
      args.scale = scale.data_ptr<float>();
      args.shift = data_or_null<float>(shift);
      args.y = advance(y.data_ptr(), x, begin, width);
      args.z = advance(z.data_ptr(), x, begin, width);
      args.statistics = differentiated ? statistics.data_ptr<float>() + 2 * begin : nullptr;
      kernel.forward(args);
    });
    if (differentiated) {
      keep_values(*context, values);
      context->save_for_backward({z, statistics, scale, row_keys});
    }
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto values = kept_values<Values>(*context);
    const auto saved = context->get_saved_variables();
    const at::Tensor &z = saved[0], &statistics = saved[1], &scale = saved[2], &row_keys = saved[3];
    const at::Tensor dy = gradients[0].contiguous();
    const int64_t rows = z.size(0), width = z.size(1), chunks = (rows + kChunkRows - 1) / kChunkRows;
    const bool dropping = values.dropout.probability > 0;
    at::Tensor d_x = at::empty(z.sizes(), z.options()), d_residual;
    if (values.has_residual) d_residual = dropping ? at::empty(z.sizes(), z.options()) : d_x;
    at::Tensor partial = at::zeros({chunks, 2, width}, scale.options());
    const auto& kernel = train_norm::select();
    at::parallel_for(0, chunks, 1, [&](int64_t first, int64_t last) {
      for (int64_t chunk = first; chunk < last; ++chunk) {
        const int64_t begin = chunk * kChunkRows, end = std::min(rows, begin + kChunkRows);
        train_norm::Backward args;
        args.shape = shape_of(z, values, row_keys, begin, end);
        args.dy = advance<const void>(dy.data_ptr(), z, begin, width);
        args.z = advance<const void>(z.data_ptr(), z, begin, width);
        args.statistics = statistics.data_ptr<float>() + 2 * begin;
        args.scale = scale.data_ptr<float>();
        args.d_x = advance(d_x.data_ptr(), z, begin, width);
        args.d_residual =
            dropping ? advance(rows_or_null(d_residual), z, begin, width) : static_cast<void*>(nullptr);
        args.d_scale = partial.data_ptr<float>() + 2 * chunk * width;
        args.d_shift = values.has_shift ? args.d_scale + width : nullptr;
        kernel.backward(args);
      }
    });
    at::Tensor sums = at::zeros({2, width}, scale.options());
    float* total = sums.data_ptr<float>();
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const float* part = partial.data_ptr<float>() + 2 * chunk * width;
      for (int64_t i = 0; i < 2 * width; ++i) total[i] += part[i];
    }
    return {d_x,          d_residual,   sums[0],     values.has_shift ? sums[1] : at::Tensor(),
            at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor dropout_add_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& scale,
                            const at::Tensor& shift, const NormSpec& norm, const DropoutSite& dropout,
                            const at::Tensor& row_keys) {
  const bool plain = has_kernel(x) && scale.scalar_type() == at::kFloat &&
                     (!residual.defined() || residual.scalar_type() == x.scalar_type()) &&
                     (!shift.defined() || shift.scalar_type() == at::kFloat);
  if (!plain) return reference::dropout_add_norm(x, residual, scale, shift, norm, dropout, row_keys);
  const Values values = {norm.kind, norm.epsilon, dropout, residual.defined(), shift.defined()};
  return DropoutAddNorm::apply(x.contiguous(), maybe(residual), scale.contiguous(), maybe(shift),
                               maybe(row_keys), values, needs_gradient(x, residual, scale, shift));
}

}  // namespace penjing::train
