// BF16 product on AMX (TDPBF16PS).
#include "kernels/simd/amx.h"
//
#include "kernels/gemm_bf16/pairs_512.h"

namespace penjing::gemm_bf16::amx {

namespace {

struct Products {
  template <int kSum, int kA, int kB>
  PENJING_INLINE void add() {
    add_bf16<kSum, kA, kB>();
  }
};

// Finishes outputs of kColumns vectors of tokens.
template <int kColumns>
struct Finish {
  Args args;

  inline __attribute__((always_inline)) void run(int64_t output, const char* sums) const {
    __m512 y[kColumns];
    for (int i = 0; i < kColumns; ++i) y[i] = _mm512_load_ps(sums + i * kTileBytes);
    finish(args, output, 0, y);
  }
};

void run(const Args& args) {
  multiply<Products>(
      args.x, args.w, groups_of<uint16_t>(args.k), args.width, args.n, args.n_begin,
      args.n_end, [&](auto columns) __attribute__((always_inline)) {
        return Finish<decltype(columns)::value>{args};
      });
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAmx, packed_bytes<uint16_t>, pack<uint16_t>, convert, run};

}  // namespace penjing::gemm_bf16::amx
