#include <array>

#include "augment/augmenter.h"

namespace penjing::augment {

#define PENJING_AUGMENT_METHOD(name) extern const AugmentMethod name##_augment_method;
#include "augment/methods.def"
#undef PENJING_AUGMENT_METHOD

std::span<const AugmentMethod* const> all_augment_methods() {
  static constexpr std::array kMethods = {
#define PENJING_AUGMENT_METHOD(name) &name##_augment_method,
#include "augment/methods.def"
#undef PENJING_AUGMENT_METHOD
  };
  return kMethods;
}

const AugmentMethod* find_augment_method(std::string_view name) {
  for (const AugmentMethod* method : all_augment_methods()) {
    if (name == method->name) return method;
  }
  return nullptr;
}

}  // namespace penjing::augment
