#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"
#include "kernels/pointwise/pointwise.h"

namespace penjing::gemm_bf16 {

// y[n][t] = activation(sum over k of bf16(w[n][k]) * bf16(x[k][t]) + bias[n]) (+ residual[n][t]), FP32 sums.
//
// The instruction adds the two products of a pair of k at once and rounds in its own way, so this is the one
// family whose result may differ between instruction sets (docs/decisions.md). A token's result still depends
// on nothing but that token. Error against exact arithmetic on the rounded operands: <= (K + 2) * 2^-23 *
// (sum |w x| + |bias| + |residual|), and subnormal products may count as zero.
//
// x: one panel in pairs, [ceil(K / 2)][width][2] bf16 (convert): the values of features 2 p and 2 p + 1 of a
// token side by side, an absent one 0. y, residual: panels [N][width] float; outputs [n_begin, n_end),
// n_begin a multiple of kOutputs.
struct Args {
  const uint16_t* x;
  const void* w;          // packed by the same kernel's pack()
  const float* bias;      // [N] or null
  const float* residual;  // or null; may alias y
  float* y;
  int64_t k, n, n_begin, n_end;
  int width;
  pointwise::Function activation = pointwise::Function::kNone;
};

inline constexpr int kOutputs = 8;

struct Kernel {
  Isa isa;
  std::size_t (*packed_bytes)(int64_t n, int64_t k);
  void (*pack)(const uint16_t* w, int64_t n, int64_t k, void* packed);  // w: bf16 [n, k] row-major
  // A panel [features][width] FP32 -> pairs, to nearest-even.
  void (*convert)(const float* x, int64_t features, int width, uint16_t* pairs);
  void (*run)(const Args& args);
};

const Kernel& select();  // ref where the CPU has no such arithmetic: FP32 products are faster then
const Kernel* find(Isa isa);

}  // namespace penjing::gemm_bf16
