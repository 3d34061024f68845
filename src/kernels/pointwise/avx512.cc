#include "kernels/simd/avx512.h"
//
#include "kernels/pointwise/pointwise_simd.h"

namespace penjing::pointwise::avx512 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512, apply, exp_array, erf_array, multiply, add};
}  // namespace penjing::pointwise::avx512
