#include "kernels/simd/rows_avx2.h"
//
#include "kernels/train_norm/train_norm_simd.h"

namespace penjing::train_norm::avx2 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, forward, backward};
}  // namespace penjing::train_norm::avx2
