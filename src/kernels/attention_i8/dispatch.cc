#include "kernels/dispatch.h"

#include "kernels/attention_i8/attention_i8.h"

namespace penjing::attention_i8 {

#define PENJING_KERNEL(isa)   \
  namespace isa {             \
  extern const Kernel kernel; \
  }
#include "kernels/attention_i8/kernels.def"
#undef PENJING_KERNEL

namespace {
constexpr const Kernel* kKernels[] = {
#define PENJING_KERNEL(isa) &isa::kernel,
#include "kernels/attention_i8/kernels.def"
#undef PENJING_KERNEL
};
}  // namespace

const Kernel& select(int64_t length) {
  return select_kernel("attention_i8", kKernels,
                       [&](const Kernel& kernel) { return kernel.shortest <= length; });
}
const Kernel* find(Isa isa) {
  return find_kernel(isa, kKernels);
}

}  // namespace penjing::attention_i8
