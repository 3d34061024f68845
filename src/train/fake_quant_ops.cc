// The autograd functions of train/fake_quant.h.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "numerics/fake_quantize.h"
#include "train/fake_quant.h"

namespace penjing::train {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kGrain = 1 << 13;  // elements

struct Rows {
  at::Tensor floats;
  int64_t count = 0, width = 0;
  std::span<const float> row(int64_t r) const {
    return {floats.data_ptr<float>() + r * width, static_cast<std::size_t>(width)};
  }
};

Rows rows_of(const at::Tensor& x) {
  if (x.dim() != 2 || !x.device().is_cpu())
    fail(ErrorKind::kUnsupported, "fake quantization: wanted a matrix on the CPU, found {} dimensions on {}",
         x.dim(), x.device().str());
  return {x.detach().to(at::kFloat).contiguous(), x.size(0), x.size(1)};
}

// act(row, its part of out) for all rows, on LibTorch's threads.
template <typename Act>
void for_rows(const Rows& rows, at::Tensor& out, const Act& act) {
  float* to = out.data_ptr<float>();
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, rows.width));
  at::parallel_for(0, rows.count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      act(r, std::span<float>(to + r * rows.width, static_cast<std::size_t>(rows.width)));
  });
}

struct Extremes {
  float low = std::numeric_limits<float>::infinity(), high = -std::numeric_limits<float>::infinity();
  bool finite = true;
  void add(std::span<const float> values) {
    for (const float v : values) {
      low = v < low ? v : low;
      high = v > high ? v : high;
      finite = finite && std::isfinite(v);
    }
  }
};

void quantize_by(const Extremes& extremes, std::span<const float> x, IntegerRange range, bool symmetric,
                 std::span<float> out) {
  if (!extremes.finite) {  // as the runtime: the row is lost, and is noticed
    std::fill(out.begin(), out.end(), std::numeric_limits<float>::quiet_NaN());
    return;
  }
  const QuantParams params = symmetric ? symmetric_params(std::max(-extremes.low, extremes.high), range)
                                       : affine_params(extremes.low, extremes.high, range);
  fake_quantize(x, params, range, out);
}

class MomentRange : public torch::autograd::Function<MomentRange> {
 public:
  static at::Tensor forward(AutogradContext*, const at::Tensor& x, IntegerRange range, bool symmetric,
                            bool by_row) {
    const Rows rows = rows_of(x);
    at::Tensor out = at::empty_like(rows.floats);
    Extremes whole;
    if (!by_row) whole.add({rows.floats.data_ptr<float>(), static_cast<std::size_t>(rows.floats.numel())});
    for_rows(rows, out, [&](int64_t r, std::span<float> to) {
      Extremes extremes = whole;
      if (by_row) extremes.add(rows.row(r));
      quantize_by(extremes, rows.row(r), range, symmetric, to);
    });
    return out.to(x.scalar_type());
  }
  static variable_list backward(AutogradContext*, const variable_list& gradients) {
    return {gradients[0], at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

class FixedRange : public torch::autograd::Function<FixedRange> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, IntegerRange range,
                            QuantParams params) {
    const Rows rows = rows_of(x);
    at::Tensor out = at::empty_like(rows.floats);
    for_rows(rows, out,
             [&](int64_t r, std::span<float> to) { fake_quantize(rows.row(r), params, range, to); });
    context->save_for_backward({x});
    context->saved_data["inverse"] = static_cast<double>(params.inverse);
    context->saved_data["low"] = static_cast<int64_t>(range.min - params.zero_point);
    context->saved_data["high"] = static_cast<int64_t>(range.max - params.zero_point);
    return out.to(x.scalar_type());
  }
  // Passes where the code was one before it was clamped: round(v) within [lo, hi].
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor x = context->get_saved_variables()[0];
    const at::Tensor code =
        (x.to(at::kFloat) * context->saved_data["inverse"].toDouble()).round();  // to nearest-even
    const at::Tensor inside =
        (code >= context->saved_data["low"].toInt()) & (code <= context->saved_data["high"].toInt());
    return {gradients[0] * inside.to(gradients[0].scalar_type()), at::Tensor(), at::Tensor()};
  }
};

class LearnedScale : public torch::autograd::Function<LearnedScale> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& scale,
                            IntegerRange range, int64_t zero_point, double factor) {
    const Rows rows = rows_of(x);
    const float* scales = scale.data_ptr<float>();
    const bool one = scale.numel() == 1;
    at::Tensor out = at::empty_like(rows.floats);
    for_rows(rows, out, [&](int64_t r, std::span<float> to) {
      const float s = scales[one ? 0 : r];
      fake_quantize(rows.row(r), {s, 1 / s, static_cast<int32_t>(zero_point)}, range, to);
    });
    context->save_for_backward({x, scale});
    context->saved_data["low"] = range.min - zero_point;
    context->saved_data["high"] = range.max - zero_point;
    context->saved_data["factor"] = factor;
    return out.to(x.scalar_type());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Rows rows = rows_of(saved[0]), gradient = rows_of(gradients[0]);
    const at::Tensor& scale = saved[1];
    const float* scales = scale.data_ptr<float>();
    const bool one = scale.numel() == 1;
    const auto low = static_cast<float>(context->saved_data["low"].toInt());
    const auto high = static_cast<float>(context->saved_data["high"].toInt());
    at::Tensor of_x = at::empty_like(rows.floats);
    std::vector<double> sums(static_cast<std::size_t>(rows.count));
    for_rows(rows, of_x, [&](int64_t r, std::span<float> to) {
      const auto x = rows.row(r), g = gradient.row(r);
      const float inverse = 1 / scales[one ? 0 : r];
      double sum = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const float v = x[i] * inverse;
        const bool inside = low < v && v < high;
        const float slope = inside ? std::nearbyint(v) - v : v <= low ? low : high;
        sum += static_cast<double>(g[i]) * static_cast<double>(slope);
        to[i] = inside ? g[i] : 0;
      }
      sums[static_cast<std::size_t>(r)] = sum;
    });
    // Summed in the order of the rows: the same on any number of threads.
    at::Tensor of_scale = at::empty_like(scale);
    const double factor = context->saved_data["factor"].toDouble();
    if (one) {
      double sum = 0;
      for (const double part : sums) sum += part;
      of_scale.fill_(sum * factor);
    } else {
      for (int64_t r = 0; r < rows.count; ++r)
        of_scale.data_ptr<float>()[r] = static_cast<float>(sums[static_cast<std::size_t>(r)] * factor);
    }
    return {of_x.to(gradients[0].scalar_type()), of_scale, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor fake_quantize_rows(const at::Tensor& x, IntegerRange range, bool symmetric) {
  return MomentRange::apply(x, range, symmetric, true);
}

at::Tensor fake_quantize_tensor(const at::Tensor& x, IntegerRange range, bool symmetric) {
  return MomentRange::apply(x, range, symmetric, false);
}

at::Tensor fake_quantize_fixed(const at::Tensor& x, IntegerRange range, const QuantParams& params) {
  return FixedRange::apply(x, range, params);
}

at::Tensor fake_quantize_learned(const at::Tensor& x, const at::Tensor& scale, IntegerRange range,
                                 int32_t zero_point, double factor, std::string_view what) {
  if (scale.scalar_type() != at::kFloat || !scale.is_contiguous() ||
      (scale.numel() != 1 && scale.numel() != x.size(0)))
    fail(ErrorKind::kInternal, "{}: {} scales for {} rows", what, scale.numel(), x.size(0));
  for (int64_t i = 0; i < scale.numel(); ++i) {
    const float s = scale.data_ptr<float>()[i];
    if (!(std::isnormal(s) && s > 0 && std::isnormal(1 / s)))
      fail(ErrorKind::kFormat, "{}: {}, wanted a scale above 0: training has diverged", what, s);
  }
  return LearnedScale::apply(x, scale, range, static_cast<int64_t>(zero_point), factor);
}

}  // namespace penjing::train
