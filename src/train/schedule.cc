#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace penjing::train {

double Schedule::factor(int64_t step) const {
  if (step < warmup) return static_cast<double>(step) / static_cast<double>(std::max<int64_t>(1, warmup));
  if (kind == Kind::kConstant) return 1;
  const double t =
      static_cast<double>(step - warmup) / static_cast<double>(std::max<int64_t>(1, total - warmup));
  if (kind == Kind::kLinear) return std::max(0.0, 1 - t);
  return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * std::min(t, 1.0))));
}

Schedule::Kind parse_schedule(const std::string& name) {
  if (name == "linear") return Schedule::Kind::kLinear;
  if (name == "cosine") return Schedule::Kind::kCosine;
  if (name == "constant") return Schedule::Kind::kConstant;
  fail(ErrorKind::kInput, "schedule \"{}\"; there are linear, cosine and constant", name);
}

}  // namespace penjing::train
