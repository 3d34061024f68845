#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"

namespace penjing::gemm_f32 {

// y[n][t] = bias[n] + sum over k ascending of w[n][k] * x[k][t]  (+ residual[n][t]), FP32.
//
// Arithmetic (bit-exact on every instruction set): acc = +0; for k = 0..K-1: acc = fma(w, x, acc);
// y = acc + bias (no bias: acc + 0... left out); then y = y + residual when there is one.
// Error against exact arithmetic: <= (K + 2) * 2^-24 * (sum |w x| + |bias| + |residual|) to first order.
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
