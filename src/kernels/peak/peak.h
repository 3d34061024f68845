#pragma once

#include <cstdint>

#include "kernels/cpu.h"

namespace penjing::peak {

// What the machine's multipliers can do: chains of the product instruction on registers alone, no loads,
// enough of them to hide its latency. The yardstick of every "share of peak"; nothing computes with it.
//   f32: fused multiply-adds     i8: 8-bit dot products (AVX2: vpmaddwd and vpaddd)     bf16: null where
//   there are none
// Each runs some `iterations` rounds and returns the operations done, a multiply-add being two.
struct Kernel {
  Isa isa;
  int64_t (*f32)(int64_t iterations);
  int64_t (*i8)(int64_t iterations);
  int64_t (*bf16)(int64_t iterations);
};

const Kernel& select();
const Kernel* find(Isa isa);

}  // namespace penjing::peak
