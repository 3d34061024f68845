#include "compress/exclusions.h"

#include "base/error.h"
#include "compress/params.h"

namespace penjing {

Exclusions::Exclusions(std::string method, const std::vector<std::string>& patterns)
    : method_(std::move(method)), patterns_(patterns), used_(patterns.size(), false) {}

bool Exclusions::contain(const std::string& module) {
  bool found = false;
  for (std::size_t i = 0; i < patterns_.size(); ++i) {
    if (!matches_pattern(patterns_[i], module)) continue;
    used_[i] = found = true;
  }
  return found;
}

void Exclusions::refuse_unused() const {
  for (std::size_t i = 0; i < patterns_.size(); ++i) {
    if (!used_[i])
      fail(ErrorKind::kInput, "{}: exclude pattern \"{}\" matches no module", method_, patterns_[i]);
  }
}

}  // namespace penjing
