#include "io/crc32c.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/rng.h"

namespace penjing {
namespace {

// The polynomial division, bit by bit.
uint32_t divide(std::span<const std::byte> bytes, uint32_t crc) {
  crc = ~crc;
  for (const std::byte byte : bytes) {
    crc ^= static_cast<uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
  }
  return ~crc;
}

// Lengths around the borders of what is done side by side (3 x 4096 bytes), at every alignment.
TEST(Crc32cOfLongArrays, IsThePolynomialDivision) {
  Rng rng(3);
  std::vector<std::byte> bytes(40000);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng.below(256));
  for (const std::size_t length :
       {0, 1, 7, 8, 9, 63, 4095, 12287, 12288, 12289, 12296, 24575, 24576, 36871}) {
    for (std::size_t begin = 0; begin < 9; ++begin) {
      const auto part = std::span<const std::byte>(bytes).subspan(begin, length);
      const auto start = static_cast<uint32_t>(rng.bits());
      ASSERT_EQ(crc32c(part, start), divide(part, start)) << length << " from " << begin;
    }
  }
}

}  // namespace
}  // namespace penjing
