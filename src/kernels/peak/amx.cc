// The chains of AMX: four tiles of sums. FP32 as AVX-512 has it.
#include "kernels/simd/amx.h"
//
#include "kernels/peak/avx512_chains.h"
#include "kernels/peak/peak.h"

namespace penjing::peak::amx {

namespace {

constexpr int kTiles = 4;
constexpr int64_t kGroups =
    kTileRows * kTileRows * kTileRows;  // of four bytes, multiplied by one instruction

struct Bytes {
  template <int kSum>
  PENJING_INLINE void add() {
    add_signed_by_unsigned<kSum, 4, 5>();
  }
};
struct Pairs {
  template <int kSum>
  PENJING_INLINE void add() {
    add_bf16<kSum, 4, 5>();
  }
};

template <typename Products>
void run_tiles(int64_t iterations) {
  begin_tiles();
  zero_tile<0>();
  zero_tile<1>();
  zero_tile<2>();
  zero_tile<3>();
  zero_tile<4>();
  zero_tile<5>();
  for (int64_t i = 0; i < iterations; ++i) {
    Products::template add<0>();
    Products::template add<1>();
    Products::template add<2>();
    Products::template add<3>();
  }
  end_tiles();
}

int64_t tile_i8(int64_t iterations) {
  run_tiles<Bytes>(iterations);
  return iterations * kTiles * kGroups * 8;
}

int64_t tile_bf16(int64_t iterations) {
  run_tiles<Pairs>(iterations);
  return iterations * kTiles * kGroups * 4;
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAmx, f32, tile_i8, tile_bf16};

}  // namespace penjing::peak::amx
