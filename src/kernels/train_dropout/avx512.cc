#include "kernels/simd/rows_avx512.h"
//
#include "kernels/train_dropout/train_dropout_simd.h"

namespace penjing::train_dropout::avx512 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512, run};
}  // namespace penjing::train_dropout::avx512
