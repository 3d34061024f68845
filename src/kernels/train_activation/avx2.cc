#include "kernels/simd/rows_avx2.h"
//
#include "kernels/train_activation/train_activation_simd.h"

namespace penjing::train_activation::avx2 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, forward, backward};
}  // namespace penjing::train_activation::avx2
