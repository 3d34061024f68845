#pragma once

#include <bit>

#include "base/rng.h"
#include "kernels/train_rows.h"

// The same one element at a time, for the families' ref.cc.
namespace penjing::train_rows {

inline float load(const float* p) {
  return *p;
}
inline float load(const uint16_t* p) {
  return std::bit_cast<float>(uint32_t{*p} << 16);
}
inline void store(float* p, float v) {
  *p = v;
}
inline void store(uint16_t* p, float v) {
  const auto bits = std::bit_cast<uint32_t>(v);
  *p = static_cast<uint16_t>((v != v ? bits | 0x400000u : bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// v times 1 / (1 - p), or 0.
inline float drop(const Dropout& dropout, uint64_t row, uint32_t column, float v) {
  if (dropout.threshold == 0) return v;
  const auto words =
      philox4x32({column / 4, static_cast<uint32_t>(row), static_cast<uint32_t>(row >> 32), dropout.step},
                 {dropout.seed, dropout.site});
  return words[column % 4] >= dropout.threshold ? v * dropout.kept : 0.0f;
}

}  // namespace penjing::train_rows
