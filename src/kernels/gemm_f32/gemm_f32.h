#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"

namespace penjing::gemm_f32 {

// y[n][t] = bias[n] + sum over k ascending of w[n][k] * x[k][t]  (+ residual[n][t]), FP32.
//
// Arithmetic (bit-exact on every instruction set): k in blocks of kBlock; in a block, acc = +0 and for k
// ascending acc = fma(w, x, acc); the blocks' sums are added in order; y = that + bias, then + residual,
// where there are any. Error against exact arithmetic: <= (min(K, kBlock) + ceil(K / kBlock) + 1) * 2^-24 *
// (sum |w x| + |bias| + |residual|) to first order: blocks make it that of K = 128, where one chain over K =
// 3072 loses twice what PyTorch does.
//
// x: one panel [K][width]; y, residual: one panel [N][width] (kernels/panel.h); a call computes outputs
// [n_begin, n_end), n_begin a multiple of kOutputs. residual may alias y. 64-byte aligned panels.
struct Args {
  const float* x;
  const void* w;          // packed by the same kernel's pack()
  const float* bias;      // [N] or null
  const float* residual;  // or null
  float* y;
  int64_t k, n_begin, n_end;
  int width;  // 16, 32, 48 or 64
};

inline constexpr int kBlock = 128;  // of k, summed apart
inline constexpr int kOutputs = 8;  // outputs are packed in groups of 8, the last one filled with zeros

struct Kernel {
  Isa isa;
  std::size_t (*packed_bytes)(int64_t n, int64_t k);
  void (*pack)(const float* w, int64_t n, int64_t k, void* packed);  // w: [n, k] row-major
  void (*run)(const Args& args);
};

const Kernel& select();       // the best of kernels.def that isa_limit() allows
const Kernel* find(Isa isa);  // this instruction set's own kernel, or null

}  // namespace penjing::gemm_f32
