#include "kernels/dispatch.h"

#include "kernels/attention/attention.h"

namespace penjing::attention {

#define PENJING_KERNEL(isa)   \
  namespace isa {             \
  extern const Kernel kernel; \
  }
#include "kernels/attention/kernels.def"
#undef PENJING_KERNEL

namespace {
constexpr const Kernel* kKernels[] = {
#define PENJING_KERNEL(isa) &isa::kernel,
#include "kernels/attention/kernels.def"
#undef PENJING_KERNEL
};
}  // namespace

const Kernel& select() {
  return select_kernel("attention", kKernels);
}
const Kernel* find(Isa isa) {
  return find_kernel(isa, kKernels);
}

}  // namespace penjing::attention
