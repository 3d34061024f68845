#include "kernels/simd/rows_avx512.h"
//
#include "kernels/train_norm/train_norm_simd.h"

namespace penjing::train_norm::avx512 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512, forward, backward};
}  // namespace penjing::train_norm::avx512
