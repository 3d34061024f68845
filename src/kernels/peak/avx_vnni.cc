#include "kernels/peak/avx2_chains.h"
#include "kernels/peak/peak.h"

namespace penjing::peak::avx_vnni {
extern const Kernel kernel;
const Kernel kernel = {Isa::kAvxVnni, f32, i8, nullptr};
}  // namespace penjing::peak::avx_vnni
