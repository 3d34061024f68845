#pragma once

#include <cstdint>
#include <string>

namespace penjing::testing {

// The formula of the oracles' weights and signs (tools/oracles/train_reference.py): splitmix64 of a hash of
// the name.
inline uint64_t formula_number(const std::string& name, uint64_t i) {
  uint64_t x = 0xcbf29ce484222325;
  for (const char c : name) x = (x ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  x += (i + 1) * 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// Element i of a tensor: within 0.1 of 0, of a norm's weights of 1.
inline float formula_weight(const std::string& name, uint64_t i) {
  const double unit = static_cast<double>(formula_number(name, i) >> 40) / 16777216.0;
  return static_cast<float>((name.ends_with("LayerNorm.weight") ? 1 : 0) + 0.2 * (unit - 0.5));
}

}  // namespace penjing::testing
