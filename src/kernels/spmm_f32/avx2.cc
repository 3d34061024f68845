#include "kernels/simd/avx2.h"
//
#include "kernels/spmm_f32/spmm_f32_simd.h"

namespace penjing::spmm_f32::avx2 {

namespace {
// 4 outputs x 2 vectors = 8 of 16 registers hold sums, 2 the tokens, 1 the weight: four vectors would not
// fit.
void run(const Args& args) {
  multiply<2>(args);
}
}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, 0.2, packed_bytes, pack, valid, run};

}  // namespace penjing::spmm_f32::avx2
