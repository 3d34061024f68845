#include "io/crc32c.h"

#include <array>
#include <cstring>

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

#if defined(__x86_64__)
// SSE 4.2 has an instruction for eight bytes, with a latency of three cycles: three chains run side by side.
// Chains are joined by appending zeros to the first ones: crc(a b) = shift(crc(a)) ^ crc(b), `shift` being
// linear, so four tables of 256 for a fixed length do.
constexpr std::size_t kChain = 4096;

struct ZeroTables {
  std::array<std::array<uint32_t, 256>, 4> table{};
  ZeroTables() {
    // What zero bits make of each bit: one, then twice as many each time.
    std::array<uint32_t, 32> bit{};
    for (uint32_t i = 0; i < 32; ++i) bit[i] = i == 0 ? 0x82f63b78u : 1u << (i - 1);
    for (std::size_t bits = 1; bits < kChain * 8; bits *= 2) {
      std::array<uint32_t, 32> twice{};
      for (uint32_t i = 0; i < 32; ++i) {
        for (uint32_t j = 0; j < 32; ++j) twice[i] ^= (bit[i] >> j & 1) != 0 ? bit[j] : 0;
      }
      bit = twice;
    }
    for (std::size_t k = 0; k < 4; ++k) {
      for (uint32_t b = 0; b < 256; ++b) {
        for (uint32_t i = 0; i < 8; ++i) table[k][b] ^= (b >> i & 1) != 0 ? bit[8 * k + i] : 0;
      }
    }
  }
  uint32_t shift(uint32_t crc) const {
    return table[0][crc & 0xff] ^ table[1][crc >> 8 & 0xff] ^ table[2][crc >> 16 & 0xff] ^
           table[3][crc >> 24];
  }
};

__attribute__((target("sse4.2"))) uint32_t hardware_crc32c(std::span<const std::byte> bytes, uint32_t crc) {
  static const ZeroTables zeros;
  const auto word = [&](std::size_t at) {
    uint64_t value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  };
  uint64_t a = ~crc;
  std::size_t at = 0;
  for (; at + 3 * kChain <= bytes.size(); at += 3 * kChain) {
    uint64_t b = 0, c = 0;
    for (std::size_t i = at; i < at + kChain; i += 8) {
      a = __builtin_ia32_crc32di(a, word(i));
      b = __builtin_ia32_crc32di(b, word(i + kChain));
      c = __builtin_ia32_crc32di(c, word(i + 2 * kChain));
    }
    a = zeros.shift(zeros.shift(static_cast<uint32_t>(a)) ^ static_cast<uint32_t>(b)) ^ c;
  }
  for (; at + 8 <= bytes.size(); at += 8) a = __builtin_ia32_crc32di(a, word(at));
  for (; at < bytes.size(); ++at)
    a = __builtin_ia32_crc32qi(static_cast<uint32_t>(a), static_cast<uint8_t>(bytes[at]));
  return ~static_cast<uint32_t>(a);
}
#endif

}  // namespace

uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc) {
#if defined(__x86_64__)
  static const bool hardware = __builtin_cpu_supports("sse4.2") != 0;
  if (hardware) return hardware_crc32c(bytes, crc);
#endif
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
