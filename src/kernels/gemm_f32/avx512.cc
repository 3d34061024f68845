#include "kernels/simd/avx512.h"
//
#include "kernels/gemm_f32/gemm_f32_simd.h"

namespace penjing::gemm_f32::avx512 {

namespace {
// 8 outputs x 2 vectors = 16 of 32 registers hold sums; the weights are broadcast from memory by the FMA.
// With three vectors the epilogue of a tile overlaps the next one's sums less: 2 % slower.
void run(const Args& args) {
  multiply<8, 2>(args);
}
}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512, packed_bytes, pack, run};

}  // namespace penjing::gemm_f32::avx512
