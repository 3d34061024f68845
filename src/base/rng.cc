#include "base/rng.h"

#include <cmath>
#include <numbers>

namespace penjing {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  // Multipliers and Weyl increments of the paper.
  constexpr uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiplier0 * counter[0], product1 = kMultiplier1 * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

uint64_t Rng::bits() {
  const uint64_t index = position_++;
  const auto out = philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                               static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)},
                              {static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32)});
  return uint64_t{out[1]} << 32 | out[0];
}

uint64_t Rng::below(uint64_t bound) {
  // Rejects the low remainder, so that every value has the same number of preimages.
  const uint64_t threshold = (0 - bound) % bound;
  for (;;) {
    const uint64_t value = bits();
    if (value >= threshold) return value % bound;
  }
}

double Rng::uniform() {
  return static_cast<double>(bits() >> 11) * 0x1p-53;
}

float Rng::normal() {
  const double u = 1.0 - uniform();  // (0, 1], so that log is finite
  const double v = uniform();
  return static_cast<float>(std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v));
}

}  // namespace penjing
