#include "kernels/simd/avx512.h"
//
#include "kernels/spmm_f32/spmm_f32_simd.h"

namespace penjing::spmm_f32::avx512 {

namespace {
void run(const Args& args) {
  multiply<4>(args);
}
}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512, 0.2, packed_bytes, pack, valid, run};

}  // namespace penjing::spmm_f32::avx512
