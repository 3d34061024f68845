#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "train/loop_settings.h"
#include "train/objective.h"

namespace penjing::train {

// The first steps of a run written out, for comparing with another implementation: `folder` gets
// gradients.safetensors (of the first step, neither clipped nor scaled) and parameters.safetensors (after
// it), under the parameters' names, and steps.jsonl, a line for each of the first kDumpedSteps steps:
//   {"step": 1, "loss": .., "gradient_norm": .., "learning_rate": .., "examples": [numbers in the training
//    data, from 0], "ids": [[tokens of a sequence], ..], "types": [[..], ..]}
inline constexpr int64_t kDumpedSteps = 10;

class StepDump {
 public:
  // kInput when the folder is there and not empty.
  explicit StepDump(std::filesystem::path folder);
  bool wants(int64_t step) const { return step <= kDumpedSteps; }  // steps count from 1
  // After the backward of the first step.
  void write_gradients(const Parameters& parameters) const;
  // After the optimizer's part of a step.
  void write_step(const StepLog& log, std::span<const int64_t> examples, const Objective& objective,
                  const Parameters& parameters);

 private:
  std::filesystem::path folder_;
  std::string lines_;
};

}  // namespace penjing::train
