#include "kernels/simd/rows_avx2.h"
//
#include "kernels/train_dropout/train_dropout_simd.h"

namespace penjing::train_dropout::avx2 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, run};
}  // namespace penjing::train_dropout::avx2
