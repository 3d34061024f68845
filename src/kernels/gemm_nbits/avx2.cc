#include "kernels/simd/avx2.h"
//
#include "kernels/gemm_nbits/gemm_nbits_simd.h"

namespace penjing::gemm_nbits::avx2 {

namespace {
void run(const Args& args) {
  multiply<4, 2>(args);
}
}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, packed_bytes, pack, run};

}  // namespace penjing::gemm_nbits::avx2
