#pragma once

#include <algorithm>
#include <cstdint>

#include "train/loop_settings.h"

namespace penjing::train {

// How long a step takes, from some of a run's steps. The first ones, which allocate, do not count unless
// there are no others.
class StepEstimate {
 public:
  void add(const StepLog& log) {
    if (++seen_ <= kWarmSteps && log.total > kWarmSteps) return;
    ++steps_;
    tokens_ += log.tokens;
    seconds_ += log.seconds;
  }
  int64_t steps() const { return steps_; }                                  // that count
  double tokens() const { return static_cast<double>(tokens_) / count(); }  // of a step
  double seconds() const { return seconds_ / count(); }
  double tokens_per_second() const { return static_cast<double>(tokens_) / std::max(seconds_, 1e-9); }

 private:
  static constexpr int64_t kWarmSteps = 2;
  double count() const { return static_cast<double>(std::max<int64_t>(1, steps_)); }
  int64_t seen_ = 0, steps_ = 0, tokens_ = 0;
  double seconds_ = 0;
};

}  // namespace penjing::train
