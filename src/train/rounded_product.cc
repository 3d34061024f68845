#include "train/rounded_product.h"

#include <atomic>
#include <bit>

#include "base/error.h"

namespace penjing::train {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Elements a thread takes at once: 64 KiB in and out stay in its cache while they are looked at twice.
constexpr int64_t kGrain = 1 << 14;
constexpr std::size_t kMaxReports = 16;

at::IValue capsule(const ProductRoundingPtr& rounding) {
  return at::IValue::make_capsule(rounding);
}
ProductRounding& rounding_of(AutogradContext* context) {
  return *static_cast<ProductRounding*>(context->saved_data["rounding"].toCapsule().get());
}

at::Tensor unscaled(const at::Tensor& y, double scale) {
  return scale == 1 ? y : y * (1 / scale);
}

class RoundedLinear : public torch::autograd::Function<RoundedLinear> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const c10::optional<at::Tensor>& bias, const ProductRoundingPtr& rounding,
                            std::string site) {
    const Operand input = rounding->operand(x, Role::kInput, site);
    const Operand rows = rounding->operand(weight, Role::kWeight, site);
    at::Tensor y = unscaled(at::linear(input.values, rows.values), input.scale * rows.scale);
    if (bias) y = y + *bias;
    context->save_for_backward({input.values, rows.values});
    context->saved_data["rounding"] = capsule(rounding);
    context->saved_data["site"] = site;
    context->saved_data["has_bias"] = bias.has_value();
    context->saved_data["input_scale"] = input.scale;
    context->saved_data["weight_scale"] = rows.scale;
    return rounding->result(y, site, "output");
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    ProductRounding& rounding = rounding_of(context);
    const std::string site = context->saved_data["site"].toStringRef();
    const double input_scale = context->saved_data["input_scale"].toDouble();
    const double weight_scale = context->saved_data["weight_scale"].toDouble();
    const at::Tensor arrived = rounding.result(gradients[0], site, "gradient of output");
    const Operand gradient = rounding.operand(arrived, Role::kGradient, site);
    variable_list result(5);
    if (context->needs_input_grad(0)) {
      result[0] = rounding.result(unscaled(at::mm(gradient.values, saved[1]), gradient.scale * weight_scale),
                                  site, "gradient of input");
    }
    if (context->needs_input_grad(1)) {
      result[1] =
          rounding.result(unscaled(at::mm(gradient.values.t(), saved[0]), gradient.scale * input_scale), site,
                          "gradient of weight");
    }
    if (context->saved_data["has_bias"].toBool() && context->needs_input_grad(2))
      result[2] = rounding.result(arrived.sum(0), site, "gradient of bias");
    return result;
  }
};

class RoundedResult : public torch::autograd::Function<RoundedResult> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const ProductRoundingPtr& rounding,
                            std::string site) {
    context->saved_data["rounding"] = capsule(rounding);
    context->saved_data["site"] = site;
    return rounding->result(x, site, "output");
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return {rounding_of(context).result(gradients[0], context->saved_data["site"].toStringRef(),
                                        "gradient of output"),
            at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor round_to(const FloatFormat& format, Overflow overflow, const at::Tensor& x, bool* not_finite) {
  if (x.scalar_type() != at::kFloat || !x.device().is_cpu())
    fail(ErrorKind::kUnsupported, "{} is emulated on FP32 tensors of the CPU, found {} on {}", format.name,
         at::toString(x.scalar_type()), x.device().str());
  const at::Tensor in = x.contiguous();
  at::Tensor out = at::empty_like(in);
  const float* from = in.data_ptr<float>();
  float* to = out.data_ptr<float>();
  std::atomic<bool> found = false;
  at::parallel_for(0, in.numel(), kGrain, [&](int64_t first, int64_t last) {
    for (int64_t begin = first; begin < last; begin += kGrain) {
      const auto count = static_cast<std::size_t>(std::min(kGrain, last - begin));
      round_floats(format, Rounding::kNearestEven, overflow, {from + begin, count}, {to + begin, count});
      uint32_t largest = 0;
      for (std::size_t i = 0; i < count; ++i) {
        largest =
            std::max(largest, std::bit_cast<uint32_t>(to[begin + static_cast<int64_t>(i)]) & 0x7f800000u);
      }
      if (largest == 0x7f800000u) found.store(true, std::memory_order_relaxed);
    }
  });
  if (not_finite != nullptr) *not_finite = found;
  return out;
}

void ProductRounding::note_overflow(const FloatFormat& format, const at::Tensor& before,
                                    const at::Tensor& after, std::string_view site, const char* tensor) {
  const int64_t overflows = (before.isfinite() & ~after.isfinite()).sum().item<int64_t>();
  const std::lock_guard lock(mutex_);
  if (overflows_.size() >= kMaxReports || (overflows == 0 && !overflows_.empty())) return;
  overflows_.push_back({std::string(site), tensor, format.name, overflows, histogram_of(before)});
}

std::vector<OverflowReport> ProductRounding::take_overflows() {
  const std::lock_guard lock(mutex_);
  return std::exchange(overflows_, {});
}

at::Tensor rounded_linear(const ProductRoundingPtr& rounding, const at::Tensor& x, const at::Tensor& weight,
                          const at::Tensor& bias, std::string_view site) {
  const c10::optional<at::Tensor> given = bias.defined() ? c10::optional<at::Tensor>(bias) : c10::nullopt;
  return RoundedLinear::apply(x, weight, given, rounding, std::string(site));
}

at::Tensor rounded_result(const ProductRoundingPtr& rounding, const at::Tensor& x, std::string_view site) {
  return RoundedResult::apply(x, rounding, std::string(site));
}

}  // namespace penjing::train
