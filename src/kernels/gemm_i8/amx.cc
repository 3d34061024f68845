// INT8 product on AMX: TDPBSUD multiplies the signed bytes of the weights with the unsigned codes.
#include "kernels/simd/amx.h"
//
#include "kernels/gemm_i8/finish_512.h"
#include "kernels/gemm_i8/gemm_i8.h"

namespace penjing::gemm_i8::amx {

namespace {

struct Products {
  template <int kTile>
  PENJING_INLINE void add() {
    if constexpr (kTile == 0) _tile_dpbsud(0, 4, 5);
    if constexpr (kTile == 1) _tile_dpbsud(1, 4, 5);
    if constexpr (kTile == 2) _tile_dpbsud(2, 4, 5);
    if constexpr (kTile == 3) _tile_dpbsud(3, 4, 5);
  }
};

void run(const Args& args) {
  multiply<Products>(
      args.x, args.w, groups_of<int8_t>(args.k), args.width, args.n_begin,
      args.n_end, [&](int64_t output, int column, const char* sums) __attribute__((always_inline)) {
        finish(args, output, column, _mm512_load_si512(sums));
      });
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAmx, "amx", kAnyCodes, packed_bytes<int8_t>, pack<int8_t>, run};

}  // namespace penjing::gemm_i8::amx
