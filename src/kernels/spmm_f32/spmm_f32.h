#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"

namespace penjing::spmm_f32 {

// The product of kernels/gemm_f32 for a matrix with zeros in 4x1 blocks (4 consecutive outputs, the first a
// multiple of 4, x 1 input): blocks that are all zero are neither stored nor multiplied. The others run
// through the same chains: k ascending, begun anew every gemm_f32::kBlock of k, the sums of the blocks added
// in order. So the result is that of the dense product bit for bit, but for the sign of a zero and for inputs
// that are not finite (0 times infinity is skipped).
//
// x: one panel [K][width]; y, residual: panels [N][width]; outputs [n_begin, n_end), n_begin a multiple of
// kOutputs.
struct Args {
  const float* x;
  const void* w;          // packed by the same kernel's pack()
  const float* bias;      // [N] or null
  const float* residual;  // or null; may alias y
  float* y;
  int64_t k, n, n_begin, n_end;
  int width;
};

inline constexpr int kOutputs = 4;

struct Kernel {
  Isa isa;
  // From this share of zero blocks on faster than the dense product of the same instruction set: measured by
  // bench/product_bench, on one machine (bench/RESULTS.md).
  double worthwhile;
  std::size_t (*packed_bytes)(const float* w, int64_t n, int64_t k);
  void (*pack)(const float* w, int64_t n, int64_t k, void* packed);
  // Whether `bytes` bytes from elsewhere are such a packed matrix: run() then reads nothing beyond them, nor
  // beyond x.
  bool (*valid)(const void* packed, std::size_t bytes, int64_t n, int64_t k);
  void (*run)(const Args& args);
};

const Kernel& select();
const Kernel* find(Isa isa);

}  // namespace penjing::spmm_f32
