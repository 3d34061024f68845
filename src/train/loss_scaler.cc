#include "train/loss_scaler.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/parse.h"

namespace penjing::train {

namespace {

constexpr int64_t kGrain = 1 << 15;
constexpr std::size_t kMaxReports = 16;

// g <- g * factor; whether all results are finite.
bool multiply_and_check(at::Tensor& gradient, float factor) {
  if (gradient.scalar_type() != at::kFloat || !gradient.device().is_cpu() || !gradient.is_contiguous()) {
    gradient.mul_(factor);
    return gradient.isfinite().all().item<bool>();
  }
  float* g = gradient.data_ptr<float>();
  std::atomic<bool> finite = true;
  at::parallel_for(0, gradient.numel(), kGrain, [&](int64_t begin, int64_t end) {
    uint32_t largest = 0;
    for (int64_t i = begin; i < end; ++i) {
      g[i] *= factor;
      largest = std::max(largest, std::bit_cast<uint32_t>(g[i]) & 0x7f800000u);
    }
    if (largest == 0x7f800000u) finite.store(false, std::memory_order_relaxed);
  });
  return finite;
}

double number_of(const Json& state, const char* key) {
  const Json* value = state.find(key);
  if (value == nullptr) fail(ErrorKind::kFormat, "loss scaler: no \"{}\"", key);
  return value->as_double(std::string("loss scaler: ") + key);
}
int64_t count_of(const Json& state, const char* key) {
  const Json* value = state.find(key);
  if (value == nullptr) fail(ErrorKind::kFormat, "loss scaler: no \"{}\"", key);
  const int64_t count = value->as_int(std::string("loss scaler: ") + key);
  if (count < 0) fail(ErrorKind::kFormat, "loss scaler: {} is {}, wanted a count", key, count);
  return count;
}

}  // namespace

LossScaling LossScaling::fixed(double scale) {
  LossScaling scaling;
  scaling.dynamic = false;
  scaling.initial = scale;
  return scaling;
}

LossScaling LossScaling::pytorch() {
  return {};
}

LossScaling LossScaling::deepspeed() {
  LossScaling scaling;
  scaling.interval = 1000;
  scaling.hysteresis = 2;
  scaling.minimum = 1;
  return scaling;
}

void LossScaling::check() const {
  const auto require = [](bool fine, const char* field, double value, const char* wanted) {
    if (!fine) fail(ErrorKind::kInput, "loss scaling: {} is {}, wanted {}", field, value, wanted);
  };
  require(initial > 0 && std::isfinite(initial), "initial", initial, "a number above 0");
  require(growth >= 1 && std::isfinite(growth), "growth", growth, "at least 1");
  require(backoff > 0 && backoff < 1, "backoff", backoff, "between 0 and 1");
  require(interval >= 1, "interval", static_cast<double>(interval), "at least 1 step");
  require(hysteresis >= 1, "hysteresis", static_cast<double>(hysteresis), "at least 1 step");
  require(minimum >= 0 && minimum <= initial, "minimum", minimum, "between 0 and the initial scale");
}

LossScaling parse_loss_scaling(std::string_view text) {
  if (text == "none") return LossScaling::fixed(1);
  if (text == "dynamic" || text == "pytorch") return LossScaling::pytorch();
  if (text == "deepspeed") return LossScaling::deepspeed();
  const std::optional<double> scale = as_number(text);
  if (!scale || !(*scale > 0) || !std::isfinite(*scale))
    fail(ErrorKind::kInput, "loss scale \"{}\"; wanted none, pytorch, deepspeed or a number above 0", text);
  return LossScaling::fixed(*scale);
}

LossScaler::LossScaler(const LossScaling& scaling) : scaling_(scaling), scale_(scaling.initial) {
  scaling_.check();
  hysteresis_left_ = scaling_.hysteresis;
}

LossScaler::Verdict LossScaler::unscale_and_check(Parameters& parameters, Arithmetic* arithmetic) {
  Verdict verdict;
  const auto inverse = static_cast<float>(1 / scale_);
  std::vector<const Parameters::Entry*> bad;
  for (const Parameters::Entry& entry : parameters) {
    at::Tensor gradient = entry.tensor.grad();
    if (gradient.defined() && !multiply_and_check(gradient, inverse)) bad.push_back(&entry);
  }
  if (arithmetic != nullptr) verdict.reports = arithmetic->take_overflows();
  verdict.finite = bad.empty();
  // Checkpoints list layers from first to last; backward comes from the last.
  for (auto entry = bad.rbegin(); entry != bad.rend() && verdict.reports.size() < kMaxReports; ++entry) {
    // As backward computed it: with the scale.
    const at::Tensor scaled = (*entry)->tensor.grad() * scale_;
    verdict.reports.push_back({(*entry)->name, "gradient", "fp32", 0, histogram_of(scaled)});
  }
  return verdict;
}

void LossScaler::update(bool finite) {
  if (!finite) ++skipped_steps_;
  if (!scaling_.dynamic) return;
  if (!finite) {
    good_steps_ = 0;
    if (hysteresis_left_ > 1) {
      --hysteresis_left_;
      return;
    }
    if (scaling_.minimum > 0 && scale_ <= scaling_.minimum)
      fail(ErrorKind::kInput,
           "gradients overflow even at the smallest loss scale, {}: the training has diverged (lower the "
           "learning rate) or needs more range (precision bf16)",
           scaling_.minimum);
    scale_ = std::max(scale_ * scaling_.backoff, scaling_.minimum);
    return;
  }
  if (scaling_.consecutive) hysteresis_left_ = scaling_.hysteresis;
  if (++good_steps_ < scaling_.interval) return;
  good_steps_ = 0;
  hysteresis_left_ = scaling_.hysteresis;
  // Scaled FP32 losses must stay finite.
  if (scale_ * scaling_.growth <= 0x1p127) scale_ *= scaling_.growth;
}

Json LossScaler::state() const {
  return Json::object({{"scale", scale_},
                       {"good_steps", good_steps_},
                       {"hysteresis_left", hysteresis_left_},
                       {"skipped_steps", skipped_steps_}});
}

void LossScaler::restore(const Json& state) {
  const double scale = number_of(state, "scale");
  if (!(scale > 0) || !std::isfinite(scale))
    fail(ErrorKind::kFormat, "loss scaler: scale is {}, wanted a number above 0", scale);
  good_steps_ = count_of(state, "good_steps");
  hysteresis_left_ = std::clamp<int64_t>(count_of(state, "hysteresis_left"), 1, scaling_.hysteresis);
  skipped_steps_ = count_of(state, "skipped_steps");
  scale_ = scaling_.dynamic ? scale : scaling_.initial;
}

}  // namespace penjing::train
