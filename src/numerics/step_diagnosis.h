#pragma once

#include <optional>
#include <string>
#include <vector>

#include "numerics/step_record.h"

namespace penjing {

// What a format would do to a recorded step.
struct Share {
  int64_t lost = 0, of = 0;
  double value() const { return of > 0 ? static_cast<double>(lost) / static_cast<double>(of) : 0; }
  void add(const Share& other);
};

// Loss scales are powers of two, as exponents.
struct ScaleRange {
  std::optional<int> least;    // at most kLostGradients of the gradients below the smallest number
  std::optional<int> largest;  // no gradient beyond the largest number
};
// Of each tensor's gradients other than 0. Few small ones do not change an update that the large ones make.
inline constexpr double kLostGradients = 0.01;

struct LayerDiagnosis {
  std::string layer;
  Share activation_overflow, activation_underflow;
  Share weight_overflow, weight_underflow;
  // Gradients of activations and weights, with the loss scale of the run (FP8: with its tensor's own) and
  // without.
  Share gradient_overflow, gradient_underflow, unscaled_overflow, unscaled_underflow;
  Share swamped;
  ScaleRange scale;  // that all its gradients need, and that all allow
};

struct StepDiagnosis {
  std::string format;
  bool has_swamping = false;           // recorded for the format
  bool has_loss_scale = false;         // false: tensors have scales of their own (FP8)
  std::vector<LayerDiagnosis> layers;  // in the order of the network
  LayerDiagnosis total;                // layer "all"
};

// The float format that numbers of a role have under `format`, and its place in kRecordedFormats.
std::string format_of(const std::string& format, NumberRole role);
std::size_t recorded_index(std::string_view format);

// format: fp16, bf16, or fp8 (E4M3 activations and weights, E5M2 gradients). Throws kInput for others.
StepDiagnosis diagnose(const RecordedStep& record, const std::string& format);

}  // namespace penjing
