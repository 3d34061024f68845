#pragma once

#include <cstdint>
#include <string>

namespace penjing::train {

// The learning rate of a step, as a share of the peak: rises linearly over `warmup` steps, then
//   linear    1 -> 0 at the last step       cosine   (1 + cos(pi t)) / 2       constant  1
// as Hugging Face's get_*_schedule_with_warmup define them.
struct Schedule {
  enum class Kind { kLinear, kCosine, kConstant };
  Kind kind = Kind::kLinear;
  int64_t warmup = 0, total = 1;
  double factor(int64_t step) const;  // step counts from 0
};
Schedule::Kind parse_schedule(const std::string& name);  // kInput naming those there are

}  // namespace penjing::train
