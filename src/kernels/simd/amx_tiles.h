#pragma once

// The tile instructions. GCC 12's own intrinsics are not used: they tell the compiler neither that a load
// reads memory nor, of a configuration, more than its first eight bytes, so that the rest of a local one is
// never written. A build with PENJING_SIMULATED_TILES has the same functions in software (tests/kernels).
#include <cstdint>

namespace {

template <int N>
struct TileCount {
  static constexpr int value = N;
};

struct TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);
alignas(64) constexpr TileConfig kTileConfig;  // eight tiles of 16 rows of 64 bytes

}  // namespace

#if defined(PENJING_SIMULATED_TILES)
#include "tests/kernels/amx_simulated.h"
#else

namespace {

#define PENJING_TILE static inline __attribute__((always_inline))

// Before tiles read what this thread has just written.
PENJING_TILE void written_for_tiles() {
  __asm__ volatile("" ::: "memory");
}
template <int Tile>
PENJING_TILE void zero_tile() {
  __asm__ volatile("tilezero %%tmm%c0" ::"i"(Tile));
}
// Sixteen rows of 64 bytes, `stride` bytes apart. No "memory": the compiler may move other reads past it, and
// what it reads is older than the products or followed by written_for_tiles().
template <int Tile>
PENJING_TILE void load_tile(const void* base, int64_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(base), "r"(stride), "i"(Tile));
}
template <int Tile>
PENJING_TILE void store_tile(void* base) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(base), "r"(int64_t{64}), "i"(Tile) : "memory");
}
// Sum += A B: bytes, those of A signed, those of B not; pairs of bf16.
template <int Sum, int A, int B>
PENJING_TILE void add_signed_by_unsigned() {
  __asm__ volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sum), "i"(A), "i"(B));
}
template <int Sum, int A, int B>
PENJING_TILE void add_bf16() {
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sum), "i"(A), "i"(B));
}
// Between these two there are tiles; a context switch saves 8 KiB more meanwhile. No object with a
// destructor: that would want an exception's landing pad, and with it a symbol that other objects export too.
PENJING_TILE void begin_tiles() {
  __asm__ volatile("ldtilecfg %0" ::"m"(kTileConfig));
}
PENJING_TILE void end_tiles() {
  __asm__ volatile("tilerelease");
}

#undef PENJING_TILE

}  // namespace

#endif
