#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "model/model.h"
#include "predict/tap.h"

namespace penjing {

// Where calibration comes from: --calibration, --samples, --statistics; the same keys in a recipe.
struct CalibrationSource {
  std::string texts;       // a file, a text a line; empty: the sentences that ship with the program
  int64_t samples = 300;   // of them at most
  std::string statistics;  // of an earlier run; empty: none
};

// What calibration texts do at the input of a linear layer.
struct SiteStatistics {
  int64_t num_rows = 0;
  std::vector<float> channel_max_abs, channel_mean;  // [in]
  float low = 0, high = 0;                           // over all values
  float moving_low = 0, moving_high = 0;  // moving average of each forward's, weight 0.01 a forward
  std::vector<double> histogram;          // kHistogramBins over [low, high]; empty when not asked for
};
inline constexpr int kHistogramBins = 2048;

// Runs the calibration texts, or the first max_texts of them, through a model, a few at a time and always in
// the same order, under a tap.
inline constexpr std::size_t kAllTexts = SIZE_MAX;
using CalibrationRun = std::function<void(const Model& model, Tap& tap, std::size_t max_texts)>;

// Linear layers of the encoder that read the same value, in the order of the forward pass: {query, key,
// value}, {output}, {up, gate}, {down}, ... Statistics belong to the first of each group.
std::vector<std::vector<LinearSpec>> linear_groups(const Description& description);

// All of them, each module once.
std::vector<LinearSpec> encoder_linears(const Description& description);

struct CalibrationRequest {
  std::vector<std::string> modules;  // their inputs are looked at
  bool histograms = false;           // a second run, now that the ranges are known
  const std::map<std::string, std::vector<float>>* smooth =
      nullptr;  // divide the input of a module by this first
};

// Module -> statistics of its input. Throws kFormat when a value is not finite, kInput when no token was
// seen.
using Calibration = std::map<std::string, SiteStatistics>;
Calibration collect_statistics(const Model& model, const CalibrationRun& run,
                               const CalibrationRequest& request);

// The statistics as a file (safetensors) that later runs take instead of texts; `source` says what they were
// made of.
void write_statistics(const std::filesystem::path& path, const Calibration& statistics,
                      const std::string& source);
Calibration read_statistics(const std::filesystem::path& path);

// X^T X [in, in] of a module's (smoothed) input, FP32: what error feedback needs. Row-major, symmetric.
std::map<std::string, std::vector<float>> collect_second_moments(const Model& model,
                                                                 const CalibrationRun& run,
                                                                 const CalibrationRequest& request);

}  // namespace penjing
