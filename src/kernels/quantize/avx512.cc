#include "kernels/simd/avx512.h"
//
#include "kernels/quantize/quantize_simd.h"

namespace penjing::quantize::avx512 {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512, affine, symmetric, fixed};
}  // namespace penjing::quantize::avx512
