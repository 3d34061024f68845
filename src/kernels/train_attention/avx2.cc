#include "kernels/simd/rows_avx2.h"
//
#include "kernels/pointwise/exp_simd.h"
//
#include "kernels/train_attention/train_attention_simd.h"

namespace penjing::train_attention::avx2 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, scratch_floats, forward, backward};
}  // namespace penjing::train_attention::avx2
