#include "train/overflow.h"

#include <fmt/format.h>

#include <cmath>
#include <mutex>

#include "numerics/float_format.h"

namespace penjing::train {

std::string OverflowReport::text() const {
  std::string line = fmt::format("{}, {}: ", site, tensor);
  const int64_t count = histogram.count(), not_finite = histogram.infinities + histogram.nans;
  if (overflows > 0) line += fmt::format("{} of {} values beyond {}'s largest", overflows, count, format);
  if (not_finite > 0) {
    line += fmt::format("{}{} of {} values not finite", overflows > 0 ? ", " : "", not_finite, count);
  }
  const FloatFormat* known = find_float_format(format);
  if (histogram.numbers() > 0 && known != nullptr) {
    line += fmt::format("; largest finite {:.4g}; exponents {} to {}, {} has {} to {}",
                        static_cast<double>(histogram.largest), histogram.lowest(), histogram.highest(),
                        format, std::ilogb(known->smallest_subnormal()), std::ilogb(known->largest()));
  }
  return line;
}

Json OverflowReport::to_json() const {
  return Json::object({{"site", site},
                       {"tensor", tensor},
                       {"format", format},
                       {"overflows", overflows},
                       {"histogram", histogram.to_json()}});
}

ExponentHistogram histogram_of(const at::Tensor& x) {
  const at::Tensor values = x.detach().to(at::kCPU, at::kFloat).contiguous();
  const float* data = values.data_ptr<float>();
  ExponentHistogram histogram;
  std::mutex mutex;
  at::parallel_for(0, values.numel(), 1 << 16, [&](int64_t begin, int64_t end) {
    ExponentHistogram part;
    part.add({data + begin, static_cast<std::size_t>(end - begin)});
    const std::lock_guard lock(mutex);
    histogram.add(part);
  });
  return histogram;
}

}  // namespace penjing::train
