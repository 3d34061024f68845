#include "kernels/dispatch.h"

#include "kernels/spmm_i8/spmm_i8.h"

namespace penjing::spmm_i8 {

#define PENJING_KERNEL(isa)   \
  namespace isa {             \
  extern const Kernel kernel; \
  }
#include "kernels/spmm_i8/kernels.def"
#undef PENJING_KERNEL

namespace {
constexpr const Kernel* kKernels[] = {
#define PENJING_KERNEL(isa) &isa::kernel,
#include "kernels/spmm_i8/kernels.def"
#undef PENJING_KERNEL
};
}  // namespace

const Kernel& select() {
  return select_kernel("spmm_i8", kKernels);
}
const Kernel* find(Isa isa) {
  return find_kernel(isa, kKernels);
}

}  // namespace penjing::spmm_i8
