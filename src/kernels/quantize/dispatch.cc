#include "kernels/dispatch.h"

#include "kernels/quantize/quantize.h"

namespace penjing::quantize {

#define PENJING_KERNEL(isa)   \
  namespace isa {             \
  extern const Kernel kernel; \
  }
#include "kernels/quantize/kernels.def"
#undef PENJING_KERNEL

namespace {
constexpr const Kernel* kKernels[] = {
#define PENJING_KERNEL(isa) &isa::kernel,
#include "kernels/quantize/kernels.def"
#undef PENJING_KERNEL
};
}  // namespace

const Kernel& select() {
  return select_kernel("quantize", kKernels);
}
const Kernel* find(Isa isa) {
  return find_kernel(isa, kKernels);
}

}  // namespace penjing::quantize
