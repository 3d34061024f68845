#pragma once

// Products on AMX tiles, the same for all element types: a tile row holds 64 bytes, and a product adds up
// groups of four bytes. That is what the panels are made of: [groups][width][4 bytes] (quads of codes, pairs
// of bf16), so sixteen groups of sixteen tokens are a tile as they lie. Weights packed
// [ceil(N/16)][ceil(groups/16)][16][16][4 bytes], zeros beyond N and K. Never run on a CPU that has it: the
// tests build the kernels with tiles in software.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace {

#define PENJING_INLINE static inline __attribute__((always_inline))

constexpr int kTileRows = 16, kTileBytes = 1024, kGroupBytes = 4;
// Tiles 0 to 3 are the sums of 16 outputs x 16, 32, 48 or 64 tokens: enough chains to hide a product's
// latency of 52 cycles at one in 16. Tile 4 holds the weights, 5 the tokens.
constexpr int kMostSums = 4;

struct TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

PENJING_INLINE int64_t tiles_of(int64_t n) {
  return (n + kTileRows - 1) / kTileRows;
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
  auto* out = static_cast<Element*>(packed);
  for (int64_t first = 0; first < n; first += kTileRows) {
    for (int64_t begin = 0; begin < k; begin += kRow) {
      for (int64_t o = first; o < first + kTileRows; ++o) {
        for (int64_t i = begin; i < begin + kRow; ++i) *out++ = o < n && i < k ? w[o * k + i] : Element{0};
      }
    }
  }
}

// Products::add<TILE>() adds tile 4 times tile 5 to tile TILE; finish(output, column, sums) takes the sums of
// an output and sixteen tokens, 64 bytes.
template <typename Products, int kSums, typename Finish>
PENJING_INLINE void multiply_columns(const char* x, const char* tail, const char* w, int64_t groups,
                                     int64_t stride, int64_t first, int64_t begin, int64_t end,
                                     Finish finish) {
  _tile_zero(0);
  if (kSums > 1) _tile_zero(1);
  if (kSums > 2) _tile_zero(2);
  if (kSums > 3) _tile_zero(3);
  for (int64_t group = 0; group < groups; group += kTileRows, w += kTileBytes) {
    const char* tokens = (group + kTileRows <= groups ? x + group * stride : tail);
    _tile_loadd(4, w, 64);
    _tile_loadd(5, tokens, stride);
    Products::template add<0>();
    if (kSums > 1) {
      _tile_loadd(5, tokens + 64, stride);
      Products::template add<1>();
    }
    if (kSums > 2) {
      _tile_loadd(5, tokens + 128, stride);
      Products::template add<2>();
    }
    if (kSums > 3) {
      _tile_loadd(5, tokens + 192, stride);
      Products::template add<3>();
    }
  }
  alignas(64) char sums[kMostSums][kTileBytes];
  _tile_stored(0, sums[0], 64);
  if (kSums > 1) _tile_stored(1, sums[1], 64);
  if (kSums > 2) _tile_stored(2, sums[2], 64);
  if (kSums > 3) _tile_stored(3, sums[3], 64);
  for (int i = 0; i < kSums; ++i) {
    for (int64_t o = begin; o < end; ++o) finish(o, 16 * i, sums[i] + (o - first) * 64);
  }
}

template <int N>
struct SumCount {
  static constexpr int value = N;
};

// Outputs [n_begin, n_end) of a panel of `groups` groups of four bytes a token.
template <typename Products, typename Finish>
PENJING_INLINE void multiply(const void* x_panel, const void* packed, int64_t groups, int width,
                             int64_t n_begin, int64_t n_end, Finish finish) {
  const auto* x = static_cast<const char*>(x_panel);
  const int64_t stride = int64_t{kGroupBytes} * width, whole = groups / kTileRows * kTileRows;
  // The panel ends where its groups end: the last ones are copied to a tile's height.
  alignas(64) char tail[kTileRows * 64 * kGroupBytes];
  if (whole < groups) {
    const auto size = static_cast<std::size_t>((groups - whole) * stride);
    __builtin_memset(tail + size, 0, sizeof tail - size);
    __builtin_memcpy(tail, x + whole * stride, size);
  }
  const TileConfig config;
  _tile_loadconfig(&config);
  for (int64_t first = n_begin / kTileRows * kTileRows; first < n_end; first += kTileRows) {
    const char* w = static_cast<const char*>(packed) + first / kTileRows * tiles_of(groups) * kTileBytes;
    const int64_t begin = first < n_begin ? n_begin : first;
    const int64_t end = first + kTileRows < n_end ? first + kTileRows : n_end;
    const auto columns = [&](auto sums) __attribute__((always_inline)) {
      multiply_columns<Products, decltype(sums)::value>(x, tail, w, groups, stride, first, begin, end,
                                                        finish);
    };
    if (width == 64) columns(SumCount<4>{});
    if (width == 48) columns(SumCount<3>{});
    if (width == 32) columns(SumCount<2>{});
    if (width == 16) columns(SumCount<1>{});
  }
  _tile_release();
}

}  // namespace
