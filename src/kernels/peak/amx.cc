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

template <typename Step>
void run_tiles(int64_t iterations, Step step) {
  const TileConfig config;
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  for (int64_t i = 0; i < iterations; ++i) step();
  _tile_release();
}

int64_t tile_i8(int64_t iterations) {
  run_tiles(iterations, [] {
    _tile_dpbsud(0, 4, 5);
    _tile_dpbsud(1, 4, 5);
    _tile_dpbsud(2, 4, 5);
    _tile_dpbsud(3, 4, 5);
  });
  return iterations * kTiles * kGroups * 8;
}

int64_t tile_bf16(int64_t iterations) {
  run_tiles(iterations, [] {
    _tile_dpbf16ps(0, 4, 5);
    _tile_dpbf16ps(1, 4, 5);
    _tile_dpbf16ps(2, 4, 5);
    _tile_dpbf16ps(3, 4, 5);
  });
  return iterations * kTiles * kGroups * 4;
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAmx, f32, tile_i8, tile_bf16};

}  // namespace penjing::peak::amx
