#include "distill/top_logits.h"

#include <cmath>
#include <limits>

#include "base/error.h"

namespace penjing::distill {

at::Tensor shorten_logits(const at::Tensor& rows, int64_t count) {
  const at::Tensor logits = rows.to(at::kFloat);
  const auto [largest, classes] = at::topk(logits, count, 1);
  const at::Tensor others = logits.scatter(1, classes, -std::numeric_limits<float>::infinity());
  return at::cat({largest, classes.to(at::kFloat), at::logsumexp(others, {1}, true)}, 1);
}

at::Tensor restore_logits(const at::Tensor& shortened, int64_t classes) {
  const int64_t count = (shortened.size(1) - 1) / 2;
  const at::Tensor which = shortened.slice(1, count, 2 * count);
  if (!at::logical_and(which >= 0, which < static_cast<double>(classes)).all().item<bool>()) {
    fail(ErrorKind::kFormat, "the teacher's answers: a class that is none of {}", classes);
  }
  const at::Tensor each = shortened.slice(1, 2 * count) - std::log(static_cast<double>(classes - count));
  return each.expand({shortened.size(0), classes})
      .scatter(1, which.to(at::kLong), shortened.slice(1, 0, count));
}

}  // namespace penjing::distill
