#include "kernels/peak/avx512_chains.h"
#include "kernels/peak/peak.h"

namespace penjing::peak::avx512 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512, f32, i8, nullptr};
}  // namespace penjing::peak::avx512
