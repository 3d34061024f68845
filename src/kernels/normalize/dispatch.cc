#include "kernels/dispatch.h"

#include "kernels/normalize/normalize.h"

namespace penjing::normalize {

#define PENJING_KERNEL(isa)   \
  namespace isa {             \
  extern const Kernel kernel; \
  }
#include "kernels/normalize/kernels.def"
#undef PENJING_KERNEL

namespace {
constexpr const Kernel* kKernels[] = {
#define PENJING_KERNEL(isa) &isa::kernel,
#include "kernels/normalize/kernels.def"
#undef PENJING_KERNEL
};
}  // namespace

const Kernel& select() {
  return select_kernel("normalize", kKernels);
}
const Kernel* find(Isa isa) {
  return find_kernel(isa, kKernels);
}

}  // namespace penjing::normalize
