#include "kernels/simd/avx2.h"
//
#include "kernels/normalize/normalize_simd.h"

namespace penjing::normalize::avx2 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, layer_norm, rms_norm, affine};
}  // namespace penjing::normalize::avx2
