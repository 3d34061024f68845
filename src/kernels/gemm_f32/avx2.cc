#include "kernels/simd/avx2.h"
//
#include "kernels/gemm_f32/gemm_f32_simd.h"

namespace penjing::gemm_f32::avx2 {

namespace {
// 4 outputs x 3 vectors = 12 of 16 registers hold sums, 3 the tokens, 1 the broadcast weight.
void run(const Args& args) {
  multiply<4, 3>(args);
}
}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, packed_bytes, pack, run};

}  // namespace penjing::gemm_f32::avx2
