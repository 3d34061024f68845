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

const Kernel& select(const CodeBounds& codes) {
  return select_kernel("spmm_i8", kKernels, [&](const Kernel& kernel) { return kernel.bounds.hold(codes); });
}
const Kernel* find(Isa isa) {
  for (const Kernel* kernel : kKernels) {
    if (kernel->isa == isa && kernel->bounds.hold(kAnyCodes)) return kernel;
  }
  return nullptr;
}
std::vector<const Kernel*> list() {
  return {std::begin(kKernels), std::end(kKernels)};
}

}  // namespace penjing::spmm_i8
