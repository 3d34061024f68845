#include "kernels/simd/avx512.h"
//
#include "kernels/gemm_nbits/gemm_nbits_simd.h"

namespace penjing::gemm_nbits::avx512 {

namespace {
void run(const Args& args) {
  multiply<8, 2>(args);
}
}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512, packed_bytes, pack, run};

}  // namespace penjing::gemm_nbits::avx512
