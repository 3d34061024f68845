#pragma once

// The product over simd/<isa>.h's Vector: include that first. A block of 128 inputs x 8 outputs is widened to
// floats (4 KiB) and multiplied with all tokens of the panel.
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_nbits/format.h"

namespace {

using V = Vector;
constexpr int64_t kBlock = penjing::gemm_f32::kBlock;
constexpr int kMaxWidth = 64;

// Inputs [begin, begin + count) of eight outputs -> weights [count][8]. count a multiple of 4, or up to 3
// rows more are written.
PENJING_INLINE void widen(const uint8_t* codes, const float* scales, const Layout& layout, int64_t begin,
                          int64_t count, float* weights) {
  alignas(64) static constexpr float kValues[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
  const int64_t end = begin + count;
  for (int64_t i = begin; i < end;) {
    const int64_t group = i / layout.group;
    const V::Float scale = V::repeat_8(scales + group * kOutputs);
    int64_t group_end = (group + 1) * layout.group;
    if (group_end > end) group_end = end;
    for (; i < group_end; i += 4, weights += 4 * kOutputs) {
      if (layout.bits == 4) {
        const uint8_t* four = codes + i / 4 * 2 * kOutputs;
        for (int at = 0; at < 2 * kOutputs; at += V::kLanes) {
          const V::Int halves = V::load_bytes(four + at);
          V::store(weights + at, V::mul(V::look_up_16(kValues, halves), scale));
          V::store(weights + 2 * kOutputs + at,
                   V::mul(V::look_up_16(kValues, V::shift_right<4>(halves)), scale));
        }
      } else {
        const auto* four = reinterpret_cast<const int8_t*>(codes) + i / 4 * 4 * kOutputs;
        for (int at = 0; at < 4 * kOutputs; at += V::kLanes) {
          V::store(weights + at, V::mul(V::to_float(V::load_signed_bytes(four + at)), scale));
        }
      }
    }
  }
}

// Adds a block's sums of eight outputs and all tokens to totals [8][kMaxWidth].
template <int TileOutputs, int Vectors>
PENJING_INLINE void multiply_block(const float* x, const float* weights, int64_t count, int width, bool first,
                                   float* totals) {
  for (int column = 0; column < width; column += Vectors * V::kLanes) {
    for (int tile = 0; tile < kOutputs; tile += TileOutputs) {
      V::Float sum[TileOutputs][Vectors];
      for (auto& row : sum) {
        for (auto& s : row) s = V::zero();
      }
      const float* token = x + column;
      const float* w = weights + tile;
      for (int64_t k = 0; k < count; ++k, token += width, w += kOutputs) {
        V::Float value[Vectors];
        for (int v = 0; v < Vectors; ++v) value[v] = V::load(token + v * V::kLanes);
        for (int o = 0; o < TileOutputs; ++o) {
          const V::Float factor = V::set(w[o]);
          for (int v = 0; v < Vectors; ++v) sum[o][v] = V::fma(factor, value[v], sum[o][v]);
        }
      }
      for (int o = 0; o < TileOutputs; ++o) {
        for (int v = 0; v < Vectors; ++v) {
          float* total = totals + (tile + o) * kMaxWidth + column + v * V::kLanes;
          V::store(total, first ? sum[o][v] : V::add(V::load(total), sum[o][v]));
        }
      }
    }
  }
}

template <int TileOutputs, int Vectors>
PENJING_INLINE void multiply(const Args& args) {
  alignas(64) float weights[kBlock * kOutputs];
  alignas(64) float totals[kOutputs * kMaxWidth];
  for (int64_t group = args.n_begin; group < args.n_end; group += kOutputs) {
    const auto* packed =
        static_cast<const uint8_t*>(args.w) + group / kOutputs * group_bytes(args.k, args.layout);
    const auto* scales = reinterpret_cast<const float*>(packed);
    const uint8_t* codes = packed + scale_bytes(args.k, args.layout);
    for (int64_t begin = 0; begin < args.k; begin += kBlock) {
      const int64_t count = args.k - begin < kBlock ? args.k - begin : kBlock;
      widen(codes, scales, args.layout, begin, count, weights);
      const float* x = args.x + begin * args.width;
      if (args.width % (Vectors * V::kLanes) == 0) {
        multiply_block<TileOutputs, Vectors>(x, weights, count, args.width, begin == 0, totals);
      } else {
        multiply_block<TileOutputs, 1>(x, weights, count, args.width, begin == 0, totals);
      }
    }
    for (int64_t o = group; o < group + kOutputs && o < args.n_end; ++o) {
      for (int column = 0; column < args.width; column += V::kLanes) {
        const int64_t at = o * args.width + column;
        V::Float y = V::load(totals + (o - group) * kMaxWidth + column);
        if (args.bias != nullptr) y = V::add(y, V::set(args.bias[o]));
        if (args.residual != nullptr) y = V::add(y, V::load(args.residual + at));
        V::store(args.y + at, y);
      }
    }
  }
}

}  // namespace
