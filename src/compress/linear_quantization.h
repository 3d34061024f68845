#pragma once

#include <map>
#include <string>
#include <vector>

#include "compress/calibration.h"
#include "compress/observers.h"
#include "compress/weight_rounding.h"

namespace penjing {

// How linear layers become integers.
struct LinearQuantization {
  RoundingRule rounding;
  bool error_feedback = false;  // weights by round_with_feedback
  bool activation_aware = false;
  bool smooth = false;
  bool smooth_everywhere = false;  // else only inputs that every token's norm has just made (Q, K, V and up)
  double smooth_alpha = 0.5;
  bool bias_correction = false;
  // Activations; bits 0: they stay FP32 (weight-only).
  int activation_bits = 8;
  bool symmetric = false, static_range = false;
  Observer observer = Observer::kMinMax;

  bool needs_statistics() const { return activation_aware || smooth || bias_correction || static_range; }
  bool needs_texts() const { return needs_statistics() || error_feedback; }
};

// What the layers' inputs look like and what follows from it, for every module asked for.
struct PreparedInputs {
  Calibration statistics;                            // as they are, in groups of one input the first module's
  std::map<std::string, std::vector<float>> smooth;  // module -> factors
  std::map<std::string, ValueRange> ranges;          // static: of the smoothed input
  std::map<std::string, std::vector<float>> moments;  // error feedback: of the smoothed input
  std::map<std::string, std::string> leader;          // module -> the first of its group
};

// `known`: statistics of an earlier run instead of the texts; smoothed static ranges and error feedback need
// the texts all the same (kInput when there is no run).
PreparedInputs prepare_inputs(const Model& model, const LinearQuantization& how,
                              const std::vector<std::string>& modules, const CalibrationRun& run,
                              const Calibration& known);

// Replaces the tensors of one linear layer: .weight I8, .weight_scale, and where they apply .smooth,
// .input_scale, .input_zero_point and a corrected .bias.
void quantize_linear(Model& model, const LinearSpec& spec, const LinearQuantization& how,
                     const PreparedInputs& inputs);

}  // namespace penjing
