// INT8 product on AMX: TDPBSUD multiplies the signed bytes of the weights with the unsigned codes.
#include "kernels/simd/amx.h"
//
#include "kernels/gemm_i8/finish_512.h"
#include "kernels/gemm_i8/gemm_i8.h"

namespace penjing::gemm_i8::amx {

namespace {

struct Products {
  template <int kSum, int kA, int kB>
  PENJING_INLINE void add() {
    add_signed_by_unsigned<kSum, kA, kB>();
  }
};

// Finishes outputs of kColumns vectors of tokens.
template <int kColumns>
struct Finish {
  Args args;
  Tokens tokens[kColumns];

  explicit Finish(const Args& of) : args(of) {
    for (int i = 0; i < kColumns; ++i) tokens[i] = tokens_at(args, kTileLanes * i);
  }
  inline __attribute__((always_inline)) void run(int64_t output, const char* sums) const {
    __m512i sum[kColumns];
    for (int i = 0; i < kColumns; ++i) sum[i] = _mm512_load_si512(sums + i * kTileBytes);
    finish(args, tokens, output, 0, sum);
  }
};

void run(const Args& args) {
  multiply<Products>(
      args.x, args.w, groups_of<int8_t>(args.k), args.width, args.n, args.n_begin,
      args.n_end, [&](auto columns) __attribute__((always_inline)) {
        return Finish<decltype(columns)::value>(args);
      });
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAmx, "amx", kAnyCodes, true, 0.85, packed_bytes<int8_t>, pack<int8_t>, run};

}  // namespace penjing::gemm_i8::amx
