#pragma once

// Products on AMX tiles, the same for all element types: a tile row holds 64 bytes, and a product adds up
// groups of four bytes. That is what the panels are made of: [groups][width][4 bytes] (quads of codes, pairs
// of bf16), so sixteen groups of sixteen tokens are a tile as they lie.
//
// Weights are packed in the order in which they are read, as tiles of 16 outputs x 16 groups, zeros beyond N
// and K: strips of up to two tiles of outputs; within a strip stretches of up to eight tiles of K; within a
// stretch the rows of tiles. While a stretch of 64 tokens (32 KB) lies in the first cache, both rows of tiles
// are multiplied by it; the whole panel would not stay there, and tiles from the second cache come at 0.6 of
// the speed of the products. Sums wait in memory between the stretches of a strip. (One row a strip is a
// tenth slower where K is 1536, four rows leave the panel no room.)
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/simd/amx_tiles.h"

namespace {

#define PENJING_INLINE static inline __attribute__((always_inline))

constexpr int kTileRows = 16, kTileBytes = 1024, kGroupBytes = 4, kTileLanes = 16;
constexpr int kStripTiles = 2;    // of outputs
constexpr int kStretchTiles = 8;  // of K, at most
// Tiles 0 to 3 are sums: enough chains to hide a product's latency of 52 cycles at one in 16. Tiles 4 to 7
// hold weights and tokens.
constexpr int kMostSums = 4;
constexpr int kMostColumns = 4;
// How far before their use weights are asked for. They come from beyond the second cache, at 9 bytes a cycle
// on the machine where this was measured (Granite Rapids): 8 KB ahead loses a tenth, 64 KB a third.
constexpr int64_t kAheadBytes = 16384;

PENJING_INLINE int64_t tiles_of(int64_t n) {
  return (n + kTileRows - 1) / kTileRows;
}
PENJING_INLINE int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

// Tiles of K of each stretch but the last, which may have fewer.
PENJING_INLINE int64_t stretch_of(int64_t tiles) {
  const int64_t stretches = (tiles + kStretchTiles - 1) / kStretchTiles;
  return (tiles + stretches - 1) / stretches;
}

template <typename Element>
constexpr int64_t kPerGroup = kGroupBytes / static_cast<int64_t>(sizeof(Element));

template <typename Element>
int64_t groups_of(int64_t k) {
  return (k + kPerGroup<Element> - 1) / kPerGroup<Element>;
}

template <typename Element>
std::size_t packed_bytes(int64_t n, int64_t k) {
  return static_cast<std::size_t>(tiles_of(n) * tiles_of(groups_of<Element>(k)) * kTileBytes);
}

template <typename Element>
void pack(const Element* w, int64_t n, int64_t k, void* packed) {
  constexpr int64_t kRow = kTileRows * kPerGroup<Element>;
  const int64_t tiles = tiles_of(groups_of<Element>(k)), stretch = stretch_of(tiles);
  auto* out = static_cast<Element*>(packed);
  for (int64_t strip = 0; strip < tiles_of(n); strip += kStripTiles) {
    for (int64_t begin = 0; begin < tiles; begin += stretch) {
      for (int64_t row = strip; row < least(strip + kStripTiles, tiles_of(n)); ++row) {
        for (int64_t tile = begin; tile < least(begin + stretch, tiles); ++tile) {
          for (int64_t o = row * kTileRows; o < (row + 1) * kTileRows; ++o) {
            for (int64_t i = tile * kRow; i < (tile + 1) * kRow; ++i) {
              *out++ = o < n && i < k ? w[o * k + i] : Element{0};
            }
          }
        }
      }
    }
  }
}

// What the blocks of one call have in common.
struct TileOperands {
  const char* x;     // the panel
  const char* tail;  // its last groups, where they are fewer than a tile's, and zeros
  int64_t groups, stride;
};

// The outputs of a strip that wait to be finished.
struct WaitingRows {
  const char* sums = nullptr;  // tiles [kStripTiles][Columns]
  int64_t first = 0;           // the strip's first output
  int64_t next = 0, end = 0;   // those that wait
};

// Finishes up to `count` outputs. finish.run(output, sums): vectors of sums kTileBytes apart.
template <int Columns, typename Finish>
PENJING_INLINE void finish_rows(WaitingRows& rows, int64_t count, const Finish& finish) {
  const int64_t stop = least(rows.end, rows.next + count);
  for (; rows.next < stop; ++rows.next) {
    const int64_t row = rows.next - rows.first;
    finish.run(rows.next, rows.sums + row / kTileRows * Columns * kTileBytes + row % kTileRows * 64);
  }
}

// Adds one tile of K to the sums of Rows x Columns tiles: sum r * Columns + c.
template <typename Products, int Rows, int Columns>
PENJING_INLINE void add_tile(const char* w, int64_t next_row, const char* x, int64_t stride) {
  static_assert(Rows * Columns <= kMostSums && Rows <= 2);
  load_tile<4>(w, 64);
  load_tile<6>(x, stride);
  Products::template add<0, 4, 6>();
  if constexpr (Rows == 2) load_tile<5>(w + next_row, 64);
  if constexpr (Rows == 2) Products::template add<Columns, 5, 6>();
  if constexpr (Columns > 1) {
    load_tile<7>(x + 64, stride);
    Products::template add<1, 4, 7>();
    if constexpr (Rows == 2) Products::template add<Columns + 1, 5, 7>();
  }
  if constexpr (Columns > 2) {
    load_tile<5>(x + 128, stride);
    Products::template add<2, 4, 5>();
  }
  if constexpr (Columns > 3) {
    load_tile<6>(x + 192, stride);
    Products::template add<3, 4, 6>();
  }
}

template <int Sums>
PENJING_INLINE void load_sums(const char* sums) {
  load_tile<0>(sums, 64);
  if constexpr (Sums > 1) load_tile<1>(sums + kTileBytes, 64);
  if constexpr (Sums > 2) load_tile<2>(sums + 2 * kTileBytes, 64);
  if constexpr (Sums > 3) load_tile<3>(sums + 3 * kTileBytes, 64);
}
template <int Sums>
PENJING_INLINE void zero_sums() {
  zero_tile<0>();
  if constexpr (Sums > 1) zero_tile<1>();
  if constexpr (Sums > 2) zero_tile<2>();
  if constexpr (Sums > 3) zero_tile<3>();
}
template <int Sums>
PENJING_INLINE void store_sums(char* sums) {
  store_tile<0>(sums);
  if constexpr (Sums > 1) store_tile<1>(sums + kTileBytes);
  if constexpr (Sums > 2) store_tile<2>(sums + 2 * kTileBytes);
  if constexpr (Sums > 3) store_tile<3>(sums + 3 * kTileBytes);
}

// The sums of Rows x Columns tiles over tiles [begin, end) of K, added to `sums` unless begin is 0. Between
// the products rows that wait are finished, `at_once` after each tile: the tile unit multiplies while the
// vector units scale what it multiplied before.
template <typename Products, int Rows, int Columns, typename Finish>
PENJING_INLINE void multiply_block(const TileOperands& of, const char* w, int64_t begin, int64_t end,
                                   char* sums, WaitingRows& waiting, int64_t at_once, const Finish& finish) {
  if (begin == 0) {
    zero_sums<Rows * Columns>();
  } else {
    load_sums<Rows * Columns>(sums);
  }
  const int64_t next_row = (end - begin) * kTileBytes;
  for (int64_t tile = begin; tile < end; ++tile, w += kTileBytes) {
    const int64_t group = tile * kTileRows;
    const char* x = group + kTileRows <= of.groups ? of.x + group * of.stride : of.tail;
    for (int r = 0; r < Rows; ++r) {
      const char* ahead = w + r * next_row + kAheadBytes;
      for (int line = 0; line < kTileBytes; line += 64) __builtin_prefetch(ahead + line, 0, 2);
    }
    add_tile<Products, Rows, Columns>(w, next_row, x, of.stride);
    finish_rows<Columns>(waiting, at_once, finish);
  }
  store_sums<Rows * Columns>(sums);
}

// Outputs [n_begin, n_end) of tokens [0, 16 Columns), as many at a time as fill the tiles of sums.
template <typename Products, int Columns, typename Finish>
PENJING_INLINE void multiply_columns(const TileOperands& of, const char* packed, int64_t n, int64_t n_begin,
                                     int64_t n_end, const Finish& finish) {
  constexpr int kRows = Columns <= 2 ? 2 : 1;
  constexpr int64_t kStripOutputs = int64_t{kStripTiles} * kTileRows;
  alignas(64) char sums[2][kStripTiles * Columns * kTileBytes];
  const int64_t tiles = tiles_of(of.groups), stretch = stretch_of(tiles);
  WaitingRows waiting;
  int turn = 0;
  for (int64_t first = n_begin / kStripOutputs * kStripOutputs; first < n_end; first += kStripOutputs) {
    const int64_t from = first < n_begin ? n_begin : first, to = least(first + kStripOutputs, n_end);
    const int64_t row_begin = (from - first) / kTileRows, row_end = tiles_of(to - first);
    const int64_t rows = least(kStripTiles, tiles_of(n - first));  // of the strip as it is packed
    const char* strip = packed + first / kTileRows * tiles * kTileBytes;
    const int64_t steps = (row_end - row_begin + kRows - 1) / kRows * tiles;
    const int64_t at_once = (waiting.end - waiting.next + steps - 1) / steps;
    for (int64_t begin = 0; begin < tiles; begin += stretch) {
      const int64_t end = least(begin + stretch, tiles);
      const auto block = [&](auto count, int64_t row) __attribute__((always_inline)) {
        multiply_block<Products, decltype(count)::value, Columns>(
            of, strip + (begin * rows + row * (end - begin)) * kTileBytes, begin, end,
            sums[turn] + row * Columns * kTileBytes, waiting, at_once, finish);
      };
      int64_t row = row_begin;
      for (; row + kRows <= row_end; row += kRows) block(TileCount<kRows>{}, row);
      if constexpr (kRows > 1) {
        for (; row < row_end; ++row) block(TileCount<1>{}, row);
      }
    }
    finish_rows<Columns>(waiting, waiting.end - waiting.next, finish);
    waiting = {sums[turn], first, from, to};
    turn ^= 1;
  }
  finish_rows<Columns>(waiting, waiting.end - waiting.next, finish);
}

// Outputs [n_begin, n_end) of n, of a panel of `groups` groups of four bytes a token.
// make_finish(TileCount<C>{}) gives what finishes an output of C vectors of tokens.
template <typename Products, typename MakeFinish>
PENJING_INLINE void multiply(const void* x_panel, const void* packed, int64_t groups, int width, int64_t n,
                             int64_t n_begin, int64_t n_end, const MakeFinish& make_finish) {
  TileOperands of{static_cast<const char*>(x_panel), nullptr, groups, int64_t{kGroupBytes} * width};
  const int64_t whole = groups / kTileRows * kTileRows;
  // The panel ends where its groups end: the last ones are copied to a tile's height.
  alignas(64) char tail[kTileRows * kMostColumns * kTileLanes * kGroupBytes];
  if (whole < groups) {
    const auto size = static_cast<std::size_t>((groups - whole) * of.stride);
    __builtin_memset(tail + size, 0, sizeof tail - size);
    __builtin_memcpy(tail, of.x + whole * of.stride, size);
    of.tail = tail;
    written_for_tiles();
  }
  begin_tiles();
  const auto* w = static_cast<const char*>(packed);
  const auto columns = [&](auto count) __attribute__((always_inline)) {
    multiply_columns<Products, decltype(count)::value>(of, w, n, n_begin, n_end, make_finish(count));
  };
  if (width == 64) columns(TileCount<4>{});
  if (width == 48) columns(TileCount<3>{});
  if (width == 32) columns(TileCount<2>{});
  if (width == 16) columns(TileCount<1>{});
  end_tiles();
}

}  // namespace
