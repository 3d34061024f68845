#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/code_bounds.h"
#include "kernels/cpu.h"
#include "kernels/pointwise/pointwise.h"

namespace penjing::spmm_i8 {

// The product of kernels/gemm_i8, with the same integers and the same epilogue, for a matrix with zeros in
// 4x1 blocks (4 consecutive outputs, the first a multiple of 4, x 1 input): blocks that are all zero are
// neither stored nor multiplied. Bit-equal to the dense product.
//
// x: one panel of codes by rows, [K][width] u8 (kernels/quantize), because the inputs of a quad of blocks are
// not neighbours. y, residual: panels [N][width] float; outputs [n_begin, n_end), n_begin a multiple of
// kOutputs.
struct Args {
  const uint8_t* x;
  const float* scale_x;       // [width]
  const int32_t* zero_point;  // [width]
  const void* w;              // packed by the same kernel's pack()
  const float* scale_w;       // [N]
  const int32_t* row_sum;     // [N]
  const float* bias;          // [N] or null
  const float* residual;      // or null
  float* y;
  int64_t k, n, n_begin, n_end;
  int width;
  pointwise::Function activation = pointwise::Function::kNone;
};

inline constexpr int kOutputs = 4;

struct Kernel {
  Isa isa;
  const char* name;  // that of the instruction set, and of the codes where they are bounded
  CodeBounds bounds;
  bool activates;  // applies args.activation, which is kNone for others
  std::size_t (*packed_bytes)(const int8_t* w, int64_t n, int64_t k);
  void (*pack)(const int8_t* w, int64_t n, int64_t k, void* packed);
  // Whether `bytes` bytes from elsewhere are such a packed matrix: run() then reads nothing beyond them, nor
  // beyond x.
  bool (*valid)(const void* packed, std::size_t bytes, int64_t n, int64_t k);
  void (*run)(const Args& args);
};

// The best kernel that takes weights and codes up to `codes`.
const Kernel& select(const CodeBounds& codes = kAnyCodes);
const Kernel* find(Isa isa);        // the instruction set's own kernel that takes any, or null
std::vector<const Kernel*> list();  // all, best first

}  // namespace penjing::spmm_i8
