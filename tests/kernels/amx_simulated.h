#pragma once

// AMX tiles in software, in place of the instructions, so that the kernels' logic runs on any CPU: what
// simd/amx_tiles.h includes with PENJING_SIMULATED_TILES (tests/kernels/CMakeLists.txt). Follows Intel's
// Architecture Instruction Set Extensions reference, chapter 3: a product with a row or column beyond the
// configuration would fault there and aborts here.
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace penjing::testing::amx {
namespace {

struct Tile {
  int rows = 0, row_bytes = 0;
  uint8_t bytes[16][64] = {};
};
thread_local Tile tiles[8];
thread_local bool configured = false;

inline void load_config(const void* config) {
  const auto* bytes = static_cast<const uint8_t*>(config);
  if (bytes[0] != 1) std::abort();
  for (int i = 0; i < 8; ++i) {
    uint16_t row_bytes = 0;
    std::memcpy(&row_bytes, bytes + 16 + 2 * i, 2);
    tiles[i] = {bytes[48 + i], row_bytes, {}};
    if (tiles[i].rows > 16 || row_bytes > 64) std::abort();
  }
  configured = true;
}

inline Tile& at(int tile) {
  if (!configured || tiles[tile].rows == 0) std::abort();
  return tiles[tile];
}

inline void load(int tile, const void* base, int64_t stride) {
  Tile& t = at(tile);
  std::memset(t.bytes, 0, sizeof t.bytes);
  for (int row = 0; row < t.rows; ++row) {
    std::memcpy(t.bytes[row], static_cast<const char*>(base) + row * stride,
                static_cast<std::size_t>(t.row_bytes));
  }
}

inline void store(int tile, void* base, int64_t stride) {
  const Tile& t = at(tile);
  for (int row = 0; row < t.rows; ++row) {
    std::memcpy(static_cast<char*>(base) + row * stride, t.bytes[row], static_cast<std::size_t>(t.row_bytes));
  }
}

// add(sum, four bytes of a, four bytes of b) for each element of the sums.
template <typename Sum, typename Add>
void multiply(int sums, int a, int b, Add add) {
  Tile& s = at(sums);
  const Tile &x = at(a), &y = at(b);
  if (s.rows != x.rows || s.row_bytes != y.row_bytes || y.rows * 4 < x.row_bytes) std::abort();
  for (int row = 0; row < s.rows; ++row) {
    for (int group = 0; group < x.row_bytes / 4; ++group) {
      for (int column = 0; column < s.row_bytes / 4; ++column) {
        Sum sum;
        std::memcpy(&sum, s.bytes[row] + 4 * column, 4);
        sum = add(sum, x.bytes[row] + 4 * group, y.bytes[group] + 4 * column);
        std::memcpy(s.bytes[row] + 4 * column, &sum, 4);
      }
    }
  }
}

inline void signed_by_unsigned(int sums, int a, int b) {
  multiply<int32_t>(sums, a, b, [](int32_t sum, const uint8_t* x, const uint8_t* y) {
    for (int i = 0; i < 4; ++i) sum += static_cast<int8_t>(x[i]) * y[i];
    return sum;
  });
}

inline void bf16_pairs(int sums, int a, int b) {
  multiply<float>(sums, a, b, [](float sum, const uint8_t* x, const uint8_t* y) {
    for (int i = 0; i < 2; ++i) {
      float left = 0, right = 0;
      std::memcpy(reinterpret_cast<char*>(&left) + 2, x + 2 * i, 2);
      std::memcpy(reinterpret_cast<char*>(&right) + 2, y + 2 * i, 2);
      sum += left * right;
    }
    return sum;
  });
}

}  // namespace
}  // namespace penjing::testing::amx

namespace {

namespace tiles = penjing::testing::amx;

inline void written_for_tiles() {}
template <int Tile>
inline void zero_tile() {
  std::memset(tiles::at(Tile).bytes, 0, sizeof tiles::at(Tile).bytes);
}
template <int Tile>
inline void load_tile(const void* base, int64_t stride) {
  tiles::load(Tile, base, stride);
}
template <int Tile>
inline void store_tile(void* base) {
  tiles::store(Tile, base, 64);
}
template <int Sum, int A, int B>
inline void add_signed_by_unsigned() {
  tiles::signed_by_unsigned(Sum, A, B);
}
template <int Sum, int A, int B>
inline void add_bf16() {
  tiles::bf16_pairs(Sum, A, B);
}
inline void begin_tiles() {
  tiles::load_config(&kTileConfig);
}
inline void end_tiles() {
  tiles::configured = false;
}

}  // namespace
