#include "kernels/peak/avx512_chains.h"
#include "kernels/peak/peak.h"

namespace penjing::peak::avx512_bf16 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512Bf16, f32, i8, bf16};
}  // namespace penjing::peak::avx512_bf16
