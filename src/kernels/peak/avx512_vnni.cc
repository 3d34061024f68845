#include "kernels/peak/avx512_chains.h"
#include "kernels/peak/peak.h"

namespace penjing::peak::avx512_vnni {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512Vnni, f32, i8, nullptr};
}  // namespace penjing::peak::avx512_vnni
