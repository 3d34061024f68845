#include "kernels/simd/avx512.h"
//
#include "kernels/pointwise/exp_simd.h"
//
#include "kernels/attention/attention_simd.h"

namespace penjing::attention::avx512 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512, run};
}  // namespace penjing::attention::avx512
