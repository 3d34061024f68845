#include "train/ops/as_runtime.h"

#include <limits>

#include "kernels/attention_i8/attention_i8.h"
#include "kernels/normalize/normalize.h"
#include "train/ops/pointwise_function.h"

namespace penjing::train::as_runtime {

namespace {

constexpr int64_t kLanes = attention_i8::kQueries;  // 16, of every kernel here

// Rows [n, width] as panels [ceil(n / 16)][width][16], lanes beyond n zero; and back.
at::Tensor to_panels(const at::Tensor& rows) {
  const int64_t n = rows.size(0), panels = (n + kLanes - 1) / kLanes;
  const at::Tensor padded = at::constant_pad_nd(rows, {0, 0, 0, panels * kLanes - n});
  return padded.view({panels, kLanes, rows.size(1)}).transpose(1, 2).contiguous();
}
at::Tensor from_panels(const at::Tensor& panels, int64_t n) {
  return panels.transpose(1, 2).reshape({-1, panels.size(1)}).narrow(0, 0, n).contiguous();
}

}  // namespace

at::Tensor norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& scale,
                const at::Tensor& shift, const NormSpec& norm) {
  const at::Tensor panels = to_panels(residual.defined() ? x + residual : x);
  const at::Tensor gamma = scale.detach().contiguous(),
                   beta = shift.defined() ? shift.detach().contiguous() : at::Tensor();
  const normalize::Kernel& kernel = normalize::select();
  const auto run = norm.kind == NormKind::kLayerNorm ? kernel.layer_norm
                   : norm.kind == NormKind::kRmsNorm ? kernel.rms_norm
                                                     : kernel.affine;
  const int64_t features = panels.size(1);
  at::parallel_for(0, panels.size(0), 4, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      float* panel = panels.data_ptr<float>() + p * features * kLanes;
      run({panel, gamma.data_ptr<float>(), beta.defined() ? beta.data_ptr<float>() : nullptr, panel, features,
           static_cast<int>(kLanes), norm.epsilon});
    }
  });
  return from_panels(panels, x.size(0));
}

at::Tensor activate(const at::Tensor& x, Activation activation) {
  const int64_t size = x.numel(), padded = (size + kLanes - 1) / kLanes * kLanes;
  const at::Tensor y = at::constant_pad_nd(x.reshape({-1}), {0, padded - size});
  at::parallel_for(0, padded / kLanes, 1024, [&](int64_t begin, int64_t end) {
    pointwise::select().apply(function_of(activation), y.data_ptr<float>() + begin * kLanes,
                              (end - begin) * kLanes);
  });
  return y.narrow(0, 0, size).view(x.sizes());
}

at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const std::vector<int64_t>& offsets, const AttentionShape& shape,
                     const at::Tensor& bias) {
  const int64_t dim = shape.head_dim;
  at::Tensor result = at::empty({query.size(0), shape.num_heads * dim}, query.options());
  const auto sequences = static_cast<int64_t>(offsets.size()) - 1;
  at::parallel_for(0, sequences * shape.num_heads, 1, [&](int64_t first, int64_t last) {
    const at::NoGradGuard no_gradient;  // of this thread
    for (int64_t task = first; task < last; ++task) {
      const auto s = static_cast<std::size_t>(task / shape.num_heads);
      const int64_t column = task % shape.num_heads * dim, begin = offsets[s],
                    length = offsets[s + 1] - begin;
      const auto part = [&](const at::Tensor& rows) {
        return rows.narrow(0, begin, length).narrow(1, column, dim);
      };
      const attention_i8::Kernel& kernel = attention_i8::select(length);
      const at::Tensor groups = to_panels(part(query));  // [groups][dim][16]
      const int64_t stride = groups.size(0) * kLanes;
      const auto by_feature = [&](const at::Tensor& rows) {
        return at::constant_pad_nd(part(rows).t(), {0, stride - length}).contiguous();
      };
      const at::Tensor k = by_feature(key), v = by_feature(value);
      const auto bytes = [](std::size_t count) {
        return at::empty({static_cast<int64_t>(count) + 1}, at::kByte);
      };
      const at::Tensor prepared = bytes(kernel.prepared_bytes(dim, length)),
                       scratch = bytes(kernel.scratch_bytes(dim, length));
      kernel.prepare({k.data_ptr<float>(), v.data_ptr<float>(), dim, length, stride, prepared.data_ptr()});
      at::Tensor out = at::empty({dim, kLanes}, at::kFloat), added;
      for (int64_t group = 0; group < groups.size(0); ++group) {
        const int64_t from = group * kLanes, count = std::min(kLanes, length - from);
        int64_t key_begin = 0, key_end = length;
        if (bias.defined()) {
          const at::Tensor seen = bias[task % shape.num_heads].narrow(0, from, count).narrow(1, 0, length);
          added = at::constant_pad_nd(seen.t(), {0, kLanes - count}).contiguous();
        }
        if (shape.window > 0) {
          key_begin = std::max<int64_t>(0, from - shape.window);
          key_end = std::min(length, from + count + shape.window);
          const at::Tensor apart =
              (at::arange(length).unsqueeze(1) - at::arange(from, from + kLanes).unsqueeze(0)).abs();
          const at::Tensor unseen =
              apart.gt(shape.window).logical_and(at::arange(kLanes).lt(count).unsqueeze(0));
          added = (bias.defined() ? added : at::zeros({length, kLanes}))
                      .masked_fill(unseen, -std::numeric_limits<float>::infinity());
        }
        kernel.run({groups.data_ptr<float>() + group * dim * kLanes, prepared.data_ptr(),
                    added.defined() ? added.data_ptr<float>() : nullptr, out.data_ptr<float>(),
                    scratch.data_ptr(), dim, length, key_begin, key_end, shape.scale});
        result.narrow(0, begin + from, count).narrow(1, column, dim).copy_(out.t().narrow(0, 0, count));
      }
    }
  });
  return result;
}

at::Tensor embed(const at::Tensor& word, const at::Tensor& ids, const at::Tensor& position,
                 const at::Tensor& positions, const at::Tensor& type, const at::Tensor& types) {
  at::Tensor rows = at::embedding(word, ids);
  if (type.defined()) rows = rows + at::embedding(type, types);
  if (position.defined()) rows = rows + at::embedding(position, positions);
  return rows;
}

}  // namespace penjing::train::as_runtime
