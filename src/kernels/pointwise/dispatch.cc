#include "kernels/dispatch.h"

#include "kernels/pointwise/pointwise.h"

namespace penjing::pointwise {

#define PENJING_KERNEL(isa)   \
  namespace isa {             \
  extern const Kernel kernel; \
  }
#include "kernels/pointwise/kernels.def"
#undef PENJING_KERNEL

namespace {
constexpr const Kernel* kKernels[] = {
#define PENJING_KERNEL(isa) &isa::kernel,
#include "kernels/pointwise/kernels.def"
#undef PENJING_KERNEL
};
}  // namespace

const Kernel& select() {
  return select_kernel("pointwise", kKernels);
}
const Kernel* find(Isa isa) {
  return find_kernel(isa, kKernels);
}

}  // namespace penjing::pointwise
