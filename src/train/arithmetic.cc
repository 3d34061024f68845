#include "train/arithmetic.h"

#include "base/error.h"

namespace penjing::train {

#define PENJING_PRECISION(name) extern const Precision name##_precision;
#include "train/precision/precisions.def"
#undef PENJING_PRECISION

namespace {

constexpr const Precision* kPrecisions[] = {
#define PENJING_PRECISION(name) &name##_precision,
#include "train/precision/precisions.def"
#undef PENJING_PRECISION
};

}  // namespace

std::span<const Precision* const> all_precisions() {
  return kPrecisions;
}

const Precision& find_precision(std::string_view name) {
  std::string names;
  for (const Precision* precision : kPrecisions) {
    if (name == precision->name) return *precision;
    names += (names.empty() ? "" : ", ") + std::string(precision->name);
  }
  fail(ErrorKind::kInput, "precision \"{}\"; there are {}", name, names);
}

std::unique_ptr<Arithmetic> make_arithmetic(std::string_view precision) {
  return find_precision(precision).make();
}

}  // namespace penjing::train
