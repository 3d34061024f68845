#include "kernels/simd/avx512.h"
//
#include "kernels/normalize/normalize_simd.h"

namespace penjing::normalize::avx512 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512, layer_norm, rms_norm, affine};
}  // namespace penjing::normalize::avx512
