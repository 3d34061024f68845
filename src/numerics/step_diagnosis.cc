#include "numerics/step_diagnosis.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace penjing {

namespace {

bool is_gradient(NumberRole role) {
  return role == NumberRole::kActivationGradient || role == NumberRole::kWeightGradient;
}

// A number of exponent e becomes one of exponent e + k.
ScaleRange scales_for(const ExponentHistogram& h, const FloatFormat& format) {
  ScaleRange range;
  const int64_t numbers = h.numbers();
  if (numbers == 0) return range;
  const auto allowed = static_cast<int64_t>(kLostGradients * static_cast<double>(numbers));
  const int smallest = std::ilogb(format.smallest_subnormal());
  int least = smallest - h.highest();
  while (h.below(smallest - least) > allowed) ++least;
  int largest = std::ilogb(format.largest()) - h.highest();
  if (std::ldexp(static_cast<double>(h.largest), largest) > format.largest()) --largest;
  range.least = least;
  range.largest = largest;
  return range;
}

void merge(ScaleRange& into, const ScaleRange& from) {
  if (from.least) into.least = std::max(into.least.value_or(*from.least), *from.least);
  if (from.largest) into.largest = std::min(into.largest.value_or(*from.largest), *from.largest);
}

void merge(LayerDiagnosis& into, const LayerDiagnosis& from) {
  into.activation_overflow.add(from.activation_overflow);
  into.activation_underflow.add(from.activation_underflow);
  into.weight_overflow.add(from.weight_overflow);
  into.weight_underflow.add(from.weight_underflow);
  into.gradient_overflow.add(from.gradient_overflow);
  into.gradient_underflow.add(from.gradient_underflow);
  into.unscaled_overflow.add(from.unscaled_overflow);
  into.unscaled_underflow.add(from.unscaled_underflow);
  into.swamped.add(from.swamped);
  merge(into.scale, from.scale);
}

}  // namespace

std::string format_of(const std::string& format, NumberRole role) {
  if (format != "fp8") return format;
  return is_gradient(role) ? "fp8_e5m2" : "fp8_e4m3";
}

std::size_t recorded_index(std::string_view format) {
  const auto found = std::find(kRecordedFormats.begin(), kRecordedFormats.end(), format);
  if (found == kRecordedFormats.end()) fail(ErrorKind::kInternal, "format {} is not recorded", format);
  return static_cast<std::size_t>(found - kRecordedFormats.begin());
}

void Share::add(const Share& other) {
  lost += other.lost;
  of += other.of;
}

StepDiagnosis diagnose(const RecordedStep& record, const std::string& format) {
  const bool fp8 = format == "fp8";
  if (!fp8 && format != "fp16" && format != "bf16")
    fail(ErrorKind::kInput, "format \"{}\"; there are fp16, bf16 and fp8", format);
  StepDiagnosis diagnosis;
  diagnosis.format = format;
  diagnosis.has_loss_scale = !fp8;
  const auto swamp_index = std::find(kSwampFormats.begin(), kSwampFormats.end(), format);
  diagnosis.has_swamping = swamp_index != kSwampFormats.end();
  for (const RecordedTensor& t : record.tensors) {
    const std::string name = format_of(format, t.role);
    const FloatFormat& numbers = *find_float_format(name);
    const RangeLoss& lost = t.lost[recorded_index(name)];
    LayerDiagnosis layer;
    layer.layer = t.layer;
    const int64_t count = t.histogram.numbers();
    if (t.role == NumberRole::kActivation) {
      layer.activation_overflow = {lost.overflows, count};
      layer.activation_underflow = {lost.underflows, count};
    } else if (t.role == NumberRole::kWeight) {
      layer.weight_overflow = {lost.overflows, count};
      layer.weight_underflow = {lost.underflows, count};
    } else if (is_gradient(t.role)) {
      layer.gradient_overflow = {lost.overflows, count};
      layer.gradient_underflow = {lost.underflows, count};
      // Up to the largest power of two: a bin is not divided.
      layer.unscaled_overflow = {t.histogram.at_least(std::ilogb(numbers.largest()) + 1), count};
      layer.unscaled_underflow = {t.histogram.below(std::ilogb(numbers.smallest_subnormal())), count};
      if (!fp8) layer.scale = scales_for(t.histogram, numbers);
    } else if (diagnosis.has_swamping) {
      layer.swamped = {t.swamped[static_cast<std::size_t>(swamp_index - kSwampFormats.begin())], count};
    }
    auto found = std::find_if(diagnosis.layers.begin(), diagnosis.layers.end(),
                              [&](const LayerDiagnosis& l) { return l.layer == t.layer; });
    if (found == diagnosis.layers.end()) {
      diagnosis.layers.push_back({});
      diagnosis.layers.back().layer = t.layer;
      found = diagnosis.layers.end() - 1;
    }
    merge(*found, layer);
    merge(diagnosis.total, layer);
  }
  diagnosis.total.layer = "all";
  return diagnosis;
}

}  // namespace penjing
