#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "numerics/exponent_histogram.h"
#include "numerics/float_format.h"

namespace penjing {

// What the numbers of one training step looked like: written by the trainer (train/step_recorder.h) as
// RUN/numerics/step-N.json, read by `penjing numerics --diagnose`.

enum class NumberRole { kActivation, kActivationGradient, kWeight, kWeightGradient, kUpdate };
const char* name_of(NumberRole role);

// Numbers that a format does not hold: finite ones that become infinite (NaN where there is no infinity), and
// those between 0 and its smallest subnormal number (methods.md A3.3).
struct RangeLoss {
  int64_t overflows = 0, underflows = 0;
  void add(const RangeLoss& other);
};
// Of values * scale.
RangeLoss range_loss(const FloatFormat& format, std::span<const float> values, double scale);

// Elements whose weight a step leaves as it is when weights and updates are kept in the format (swamping,
// methods.md A3.2): R(R(w) + R(u)) == R(w), u = after - before, among those with u != 0.
int64_t count_swamped(const FloatFormat& format, std::span<const float> before, std::span<const float> after);

// Formats that range_loss is recorded for. FP8's are scaled so that the tensor's largest magnitude is the
// format's; gradients in the others are scaled by the loss scale.
inline constexpr std::array<const char*, 4> kRecordedFormats = {"fp16", "bf16", "fp8_e4m3", "fp8_e5m2"};
// Formats that swamping is recorded for.
inline constexpr std::array<const char*, 2> kSwampFormats = {"fp16", "bf16"};
double recorded_scale(const FloatFormat& format, NumberRole role, float largest, double loss_scale);

struct RecordedTensor {
  std::string name;   // "encoder.layer.0.output.dense.out", or a parameter's
  std::string layer;  // "embeddings", "0", "1", ..., "head"
  NumberRole role = NumberRole::kActivation;
  ExponentHistogram histogram;  // gradients: divided by the loss scale
  std::array<RangeLoss, kRecordedFormats.size()> lost{};
  std::array<int64_t, kSwampFormats.size()> swamped{};  // updates
};

struct RecordedStep {
  int64_t step = 0;
  std::string precision;
  double loss_scale = 1;
  std::vector<RecordedTensor> tensors;

  Json to_json() const;
  static RecordedStep from_json(const Json& json, std::string_view where);  // throws kFormat
};

// "0" of "encoder.layer.0.output", "embeddings" of names that begin so, else "head".
std::string layer_of(std::string_view name);

std::filesystem::path step_record_path(const std::filesystem::path& run, int64_t step);
void write_step_record(const std::filesystem::path& run, const RecordedStep& record);  // creates RUN/numerics
// The record of a step, or of the last one recorded. Throws kInput naming the steps there are.
RecordedStep read_step_record(const std::filesystem::path& run, std::optional<int64_t> step);

}  // namespace penjing
