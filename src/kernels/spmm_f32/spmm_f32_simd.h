#pragma once

// Block-sparse FP32 product over simd/<isa>.h's Vector: include that first.
#include "kernels/spmm_f32/format.h"

namespace {

using V = Vector;
using penjing::spmm_f32::Args;

// The four outputs of `group` x Vectors vectors of tokens from `column`: a block's row of x is read once for
// the four.
template <int Vectors>
PENJING_INLINE void multiply_group(const Args& args, const Blocks& blocks, int64_t group, int column) {
  V::Float total[kOutputs][Vectors];  // in memory: touched once a chain
  const int32_t* first = blocks.first + group * (blocks.num_sums + 1);
  for (int64_t s = 0; s < blocks.num_sums; ++s) {
    V::Float sum[kOutputs][Vectors];
    for (auto& row : sum) {
      for (auto& value : row) value = V::zero();
    }
    const float* w = blocks.weight + int64_t{first[s]} * kOutputs;
    for (int32_t b = first[s]; b < first[s + 1]; ++b, w += kOutputs) {
      const float* x = args.x + int64_t{blocks.input[b]} * args.width + column;
      V::Float value[Vectors];
      for (int v = 0; v < Vectors; ++v) value[v] = V::load(x + v * V::kLanes);
      for (int o = 0; o < kOutputs; ++o) {
        const V::Float factor = V::set(w[o]);
        for (int v = 0; v < Vectors; ++v) sum[o][v] = V::fma(factor, value[v], sum[o][v]);
      }
    }
    for (int o = 0; o < kOutputs; ++o) {
      for (int v = 0; v < Vectors; ++v) total[o][v] = s == 0 ? sum[o][v] : V::add(total[o][v], sum[o][v]);
    }
  }
  for (int o = 0; o < kOutputs; ++o) {
    const int64_t output = group * kOutputs + o;
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

// MaxVectors: as many vectors of sums for four outputs as the registers hold.
template <int MaxVectors>
PENJING_INLINE void multiply(const Args& args) {
  const Blocks blocks = unpack(args);
  for (int64_t group = args.n_begin / kOutputs; group * kOutputs < args.n_end; ++group) {
    int column = 0;
    for (; args.width - column >= MaxVectors * V::kLanes; column += MaxVectors * V::kLanes) {
      multiply_group<MaxVectors>(args, blocks, group, column);
    }
    for (; args.width - column >= 2 * V::kLanes; column += 2 * V::kLanes)
      multiply_group<2>(args, blocks, group, column);
    for (; column < args.width; column += V::kLanes) multiply_group<1>(args, blocks, group, column);
  }
}

}  // namespace
