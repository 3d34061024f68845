#pragma once

// FP32 product over simd/<isa>.h's Vector: include that first. Weights packed [ceil(N/8)][K][8]: the eight
// outputs of a group side by side, so that one cache line feeds two steps of k; surplus outputs are zero.
#include "kernels/gemm_f32/gemm_f32.h"

namespace {

using V = Vector;
using penjing::gemm_f32::Args;
using penjing::gemm_f32::kBlock;
using penjing::gemm_f32::kOutputs;

std::size_t packed_bytes(int64_t n, int64_t k) {
  return static_cast<std::size_t>((n + kOutputs - 1) / kOutputs * kOutputs * k) * sizeof(float);
}

void pack(const float* w, int64_t n, int64_t k, void* packed) {
  auto* out = static_cast<float*>(packed);
  for (int64_t group = 0; group < n; group += kOutputs) {
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t o = group; o < group + kOutputs; ++o) *out++ = o < n ? w[o * k + i] : 0.0f;
    }
  }
}

// Outputs [first, first + Outputs) of the group at `w`, tokens of `Vectors` vectors from `column`.
template <int Outputs, int Vectors>
PENJING_INLINE void multiply_tile(const Args& args, const float* w, int64_t first_output, int column) {
  V::Float total[Outputs][Vectors];  // in memory: touched once a block
  const float* x = args.x + column;
  // The next group's weights arrive while this one computes: a model of 40 MB is read from memory in each
  // forward, and 16 tokens then reach 77 % of the peak instead of 57 %.
  const int64_t ahead = args.k * kOutputs;
  for (int64_t begin = 0; begin < args.k; begin += kBlock) {
    const int64_t end = args.k - begin < kBlock ? args.k : begin + kBlock;
    V::Float sum[Outputs][Vectors];
    for (auto& row : sum) {
      for (auto& s : row) s = V::zero();
    }
    for (int64_t k = begin; k < end; ++k, x += args.width, w += kOutputs) {
      __builtin_prefetch(w + ahead);
      V::Float value[Vectors];
      for (int v = 0; v < Vectors; ++v) value[v] = V::load(x + v * V::kLanes);
      for (int o = 0; o < Outputs; ++o) {
        const V::Float factor = V::set(w[o]);
        for (int v = 0; v < Vectors; ++v) sum[o][v] = V::fma(factor, value[v], sum[o][v]);
      }
    }
    for (int o = 0; o < Outputs; ++o) {
      for (int v = 0; v < Vectors; ++v) total[o][v] = begin == 0 ? sum[o][v] : V::add(total[o][v], sum[o][v]);
    }
  }
  for (int o = 0; o < Outputs; ++o) {
    const int64_t output = first_output + o;
    if (output >= args.n_end) break;
    for (int v = 0; v < Vectors; ++v) {
      const int64_t at = output * args.width + column + v * V::kLanes;
      V::Float y = total[o][v];
      if (args.bias != nullptr) y = V::add(y, V::set(args.bias[output]));
      if (args.residual != nullptr) y = V::add(y, V::load(args.residual + at));
      V::store(args.y + at, y);
    }
  }
}

template <int N>
struct Count {
  static constexpr int value = N;
};

// kTileOutputs divides kOutputs; the ISA file chooses it and the largest number of vectors for its registers.
template <int TileOutputs, int MaxVectors>
PENJING_INLINE void multiply(const Args& args) {
  const auto* packed = static_cast<const float*>(args.w);
  for (int64_t group = args.n_begin; group < args.n_end; group += kOutputs) {
    const float* w = packed + group * args.k;
    int column = 0;
    const auto advance = [&](auto vectors) __attribute__((always_inline)) {
      constexpr int kVectors = decltype(vectors)::value;
      for (; args.width - column >= kVectors * V::kLanes; column += kVectors * V::kLanes) {
        for (int o = 0; o < kOutputs; o += TileOutputs) {
          multiply_tile<TileOutputs, kVectors>(args, w + o, group + o, column);
        }
      }
    };
    // Threes where two remain at the end; 4 and 6 vectors are faster in pairs.
    if (MaxVectors >= 3 && args.width == 8 * V::kLanes) advance(Count<3>{});
    advance(Count<2>{});
    advance(Count<1>{});
  }
}

}  // namespace
