#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "train/arithmetic.h"
#include "train/parameters.h"

namespace penjing::train {

// How the loss is scaled before backward so that small gradients survive FP16 (methods.md A4.1; Micikevicius
// et al. 2018, section 3.2). Scaling the loss by s scales every gradient by s (chain rule).
//
//   step with a gradient that is not finite: left out; scale <- max(scale * backoff, minimum), once
//                                            `hysteresis` such steps have come
//   `interval` finite steps in a row:        scale <- scale * growth
struct LossScaling {
  bool dynamic = true;
  double initial = 65536;  // static: the scale
  double growth = 2, backoff = 0.5;
  int64_t interval = 2000;
  int64_t hysteresis = 1;
  bool consecutive = false;  // a finite step refills the hysteresis (else growth does)
  double minimum = 0;        // an overflow at this scale is an error; 0: there is none

  static LossScaling fixed(double scale);
  static LossScaling pytorch();    // torch.cuda.amp.GradScaler: 2^16, x2 every 2000, x0.5
  static LossScaling deepspeed();  // 2^16, x2 every 1000, x0.5, hysteresis 2, not below 1
  void check() const;              // throws kInput naming the field
};

// "none", "pytorch" (also "dynamic"), "deepspeed", or a number: a fixed scale. Throws kInput.
LossScaling parse_loss_scaling(std::string_view text);

class LossScaler {
 public:
  explicit LossScaler(const LossScaling& scaling);

  double scale() const { return scale_; }

  struct Verdict {
    bool finite = true;
    // What overflowed, causes first: sites of the arithmetic in the order of computation, then parameters,
    // the last layers' (first in backward) before the first's. Of at most a few tensors.
    std::vector<OverflowReport> reports;
  };
  // Divides every gradient by the scale, in FP32, and says whether all are finite; when not, the step is to
  // be left out. The verdict depends on the gradients alone, so that ranks that hold the same ones agree.
  Verdict unscale_and_check(Parameters& parameters, Arithmetic* arithmetic = nullptr);

  // After the step was taken (finite) or left out. Throws kInput when the scale is at its minimum and
  // gradients overflow still.
  void update(bool finite);

  int64_t skipped_steps() const { return skipped_steps_; }

  // The options are the run's; the state is what changes. restore throws kFormat.
  Json state() const;
  void restore(const Json& state);

 private:
  LossScaling scaling_;
  double scale_;
  int64_t good_steps_ = 0, hysteresis_left_ = 1, skipped_steps_ = 0;
};

}  // namespace penjing::train
