#include "kernels/simd/avx2.h"
//
#include "kernels/quantize/quantize_simd.h"

namespace penjing::quantize::avx2 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, affine, symmetric, fixed};
}  // namespace penjing::quantize::avx2
