#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace penjing {

// CRC-32C (Castagnoli polynomial, RFC 3720), and LevelDB's masked form of it.
uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc = 0);
inline uint32_t mask_crc(uint32_t crc) {
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

}  // namespace penjing
