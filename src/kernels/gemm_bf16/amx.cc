// BF16 product on AMX (TDPBF16PS).
#include "kernels/simd/amx.h"
//
#include "kernels/gemm_bf16/pairs_512.h"

namespace penjing::gemm_bf16::amx {

namespace {

struct Products {
  template <int kTile>
  PENJING_INLINE void add() {
    if constexpr (kTile == 0) _tile_dpbf16ps(0, 4, 5);
    if constexpr (kTile == 1) _tile_dpbf16ps(1, 4, 5);
    if constexpr (kTile == 2) _tile_dpbf16ps(2, 4, 5);
    if constexpr (kTile == 3) _tile_dpbf16ps(3, 4, 5);
  }
};

void run(const Args& args) {
  multiply<Products>(
      args.x, args.w, groups_of<uint16_t>(args.k), args.width, args.n_begin,
      args.n_end, [&](int64_t output, int column, const char* sums) __attribute__((always_inline)) {
        finish(args, output, column, _mm512_load_ps(sums));
      });
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAmx, packed_bytes<uint16_t>, pack<uint16_t>, convert, run};

}  // namespace penjing::gemm_bf16::amx
