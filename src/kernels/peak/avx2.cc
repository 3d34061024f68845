#include "kernels/peak/avx2_chains.h"
#include "kernels/peak/peak.h"

namespace penjing::peak::avx2 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, f32, i8, nullptr};
}  // namespace penjing::peak::avx2
