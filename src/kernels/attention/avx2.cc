#include "kernels/simd/avx2.h"
//
#include "kernels/pointwise/exp_simd.h"
//
#include "kernels/attention/attention_simd.h"

namespace penjing::attention::avx2 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, run};
}  // namespace penjing::attention::avx2
