#include "kernels/simd/rows_avx2.h"
//
#include "kernels/train_adamw/train_adamw_simd.h"

namespace penjing::train_adamw::avx2 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, step};
}  // namespace penjing::train_adamw::avx2
