#include "distill/methods.h"

namespace penjing {

#define PENJING_METHOD(name, module) PENJING_METHOD_OF_##module(name)
#define PENJING_METHOD_OF_compress(name)
#define PENJING_METHOD_OF_train(name)
#define PENJING_METHOD_OF_distill(name) extern const Method name##_method;
#include "compress/methods.def"
#undef PENJING_METHOD_OF_distill

namespace distill {

std::span<const Method* const> distillation_methods() {
  static constexpr const Method* kMethods[] = {
#define PENJING_METHOD_OF_distill(name) &name##_method,
#include "compress/methods.def"
  };
  return kMethods;
}

}  // namespace distill

}  // namespace penjing
