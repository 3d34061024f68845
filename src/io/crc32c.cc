#include "io/crc32c.h"

#include <array>

namespace penjing {

namespace {

// Slicing by eight: table[k][b] is the CRC of byte b followed by k zero bytes.
struct Tables {
  std::array<std::array<uint32_t, 256>, 8> table{};
  Tables() {
    for (uint32_t b = 0; b < 256; ++b) {
      uint32_t crc = b;
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
      table[0][b] = crc;
    }
    for (std::size_t k = 1; k < 8; ++k) {
      for (uint32_t b = 0; b < 256; ++b)
        table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 0xff];
    }
  }
};

}  // namespace

uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc) {
  static const Tables tables;
  const auto& t = tables.table;
  crc = ~crc;
  std::size_t i = 0;
  const auto byte = [&](std::size_t at) { return static_cast<uint32_t>(bytes[at]); };
  for (; i + 8 <= bytes.size(); i += 8) {
    const uint32_t low = crc ^ (byte(i) | byte(i + 1) << 8 | byte(i + 2) << 16 | byte(i + 3) << 24);
    crc = t[7][low & 0xff] ^ t[6][low >> 8 & 0xff] ^ t[5][low >> 16 & 0xff] ^ t[4][low >> 24] ^
          t[3][byte(i + 4)] ^ t[2][byte(i + 5)] ^ t[1][byte(i + 6)] ^ t[0][byte(i + 7)];
  }
  for (; i < bytes.size(); ++i) crc = t[0][(crc ^ byte(i)) & 0xff] ^ crc >> 8;
  return ~crc;
}

}  // namespace penjing
