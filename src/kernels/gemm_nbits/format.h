#pragma once

// The one packed form of all instruction sets, for each group of eight outputs:
//   scales  [ceil(K / group)][8] float
//   codes   4 bits: [ceil(K / 4)][16] bytes: byte o holds inputs 0 (low half) and 2 of the four, byte 8 + o
//   inputs 1
//           and 3, as code + 8, so that a register of low halves and one of high halves are rows of [K][8]
//           8 bits: [ceil(K / 4)][4][8]
#include <cstring>

#include "kernels/gemm_nbits/gemm_nbits.h"

namespace {

using penjing::gemm_nbits::Args;
using penjing::gemm_nbits::kOutputs;
using penjing::gemm_nbits::Layout;

inline int64_t scale_groups(int64_t k, const Layout& layout) {
  return (k + layout.group - 1) / layout.group;
}
inline int64_t fours_of(int64_t k) {
  return (k + 3) / 4;
}
inline int64_t code_bytes(int64_t k, const Layout& layout) {
  return fours_of(k) * 4 * kOutputs * layout.bits / 8;
}
inline int64_t scale_bytes(int64_t k, const Layout& layout) {
  return scale_groups(k, layout) * kOutputs * static_cast<int64_t>(sizeof(float));
}
inline int64_t group_bytes(int64_t k, const Layout& layout) {
  return code_bytes(k, layout) + scale_bytes(k, layout);
}

inline std::size_t packed_bytes(int64_t n, int64_t k, const Layout& layout) {
  return static_cast<std::size_t>((n + kOutputs - 1) / kOutputs * group_bytes(k, layout));
}

inline void pack(const int8_t* codes, const float* scales, int64_t n, int64_t k, const Layout& layout,
                 void* packed) {
  auto* out = static_cast<uint8_t*>(packed);
  const int64_t groups = scale_groups(k, layout);
  const auto code = [&](int64_t o, int64_t i) { return o < n && i < k ? codes[o * k + i] : int8_t{0}; };
  const auto halves = [&](int64_t o, int64_t low, int64_t high) {
    return static_cast<uint8_t>((code(o, low) + 8) | (code(o, high) + 8) << 4);
  };
  for (int64_t first = 0; first < n; first += kOutputs) {
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t o = first; o < first + kOutputs; ++o, out += sizeof(float)) {
        const float scale = o < n ? scales[o * groups + g] : 0.0f;
        std::memcpy(out, &scale, sizeof scale);
      }
    }
    for (int64_t i = 0; i < k; i += 4) {
      if (layout.bits == 4) {
        for (int64_t o = first; o < first + kOutputs; ++o) *out++ = halves(o, i, i + 2);
        for (int64_t o = first; o < first + kOutputs; ++o) *out++ = halves(o, i + 1, i + 3);
      } else {
        for (int64_t j = i; j < i + 4; ++j) {
          for (int64_t o = first; o < first + kOutputs; ++o) *out++ = static_cast<uint8_t>(code(o, j));
        }
      }
    }
  }
}

}  // namespace
