#include "kernels/simd/avx2.h"
//
#include "kernels/pointwise/pointwise_simd.h"

namespace penjing::pointwise::avx2 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, apply, exp_array, erf_array, multiply, add};
}  // namespace penjing::pointwise::avx2
