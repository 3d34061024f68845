#pragma once

#include <string>
#include <vector>

#include "runtime/step_description.h"

namespace penjing::cli {

// A step in one round.
struct StepTime {
  StepEvent::Clock::duration duration;
  std::vector<StepPiece> pieces;
};
double milliseconds(StepEvent::Clock::duration duration);

// The steps of a forward are the same in every round: what they are is asked in the first, before the rounds
// that count, and then only their times are kept.
class StepRecorder : public StepObserver {
 public:
  void on_step(const StepEvent& event) override;
  void start_round() { rounds_.emplace_back().reserve(steps_.size()); }
  const std::vector<StepDescription>& steps() const { return steps_; }
  const std::vector<std::vector<StepTime>>& rounds() const { return rounds_; }

 private:
  std::vector<StepDescription> steps_;
  std::vector<std::vector<StepTime>> rounds_;
};

// What the machine can do: operations and bytes a second; 0: not measured.
struct Roofs {
  double f32 = 0, bf16 = 0, i8 = 0, bandwidth = 0;
};

// Time and work of a step, or of several together.
struct StepRow {
  std::string kind, operation;
  int layer = -1, count = 0;
  double ms = 0;
  int64_t operations = 0, weight_bytes = 0, activation_bytes = 0;
  double compute_ms = 0;  // the operations at the machine's peak
  double memory_ms = 0;   // the bytes at the machine's bandwidth

  void add(const StepRow& other);
  double giga_per_s() const { return ms > 0 ? static_cast<double>(operations) / ms * 1e-6 : 0; }
  double peak_share() const { return ms > 0 ? compute_ms / ms : 0; }
  double memory_share() const { return ms > 0 ? memory_ms / ms : 0; }

  // The lower roof at this ratio of operations to bytes, were nothing in the caches: "compute" or "memory".
  const char* roof() const { return compute_ms >= memory_ms ? "compute" : "memory"; }
  // What does limit it, by what was reached: "compute" from half of the peak on; "caches": more bytes a
  // second than memory delivers, so the data came from the caches; "memory" from half of the bandwidth on;
  // "overhead": neither roof is near, the time goes into waking threads, copies, exponentials, conversions.
  const char* bound() const;
};

// Each step with the median of its times. kInternal when a round has other steps than the first.
std::vector<StepRow> median_rows(const StepRecorder& recorder, const Roofs& roofs);
// Sums, in the order of first appearance; layers ascending, what is outside them first.
std::vector<StepRow> sum_by_operation(const std::vector<StepRow>& rows);
std::vector<StepRow> sum_by_layer(const std::vector<StepRow>& rows);

}  // namespace penjing::cli
