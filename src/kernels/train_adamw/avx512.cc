#include "kernels/simd/rows_avx512.h"
//
#include "kernels/train_adamw/train_adamw_simd.h"

namespace penjing::train_adamw::avx512 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512, step};
}  // namespace penjing::train_adamw::avx512
