#include "kernels/simd/rows_avx512.h"
//
#include "kernels/train_activation/train_activation_simd.h"

namespace penjing::train_activation::avx512 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512, forward, backward};
}  // namespace penjing::train_activation::avx512
