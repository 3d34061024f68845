#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/code_bounds.h"
#include "kernels/cpu.h"
#include "kernels/pointwise/pointwise.h"

namespace penjing::gemm_i8 {

// y[n][t] = activation(float(acc - zero_point[t] * row_sum[n]) * (scale_x[t] * scale_w[n]) + bias[n])
//           (+ residual[n][t])
// acc = sum over k of w[n][k] (s8, -128..127) * x[k][t] (u8), int32 and exact on every instruction set:
// K <= 32,767 (checked by the caller), so that |row_sum| < 2^22, which epilogues lean on. The correction is
// int32 too; the conversion to float rounds to nearest-even; products and sums are separate IEEE operations
// in the order written, no FMA. The activation is kernels/pointwise's, from kernels that say so.
//
// x: one panel of codes in quads, [ceil(K / 4)][width][4] u8 (kernels/quantize); the weights of absent
// features are packed as zero. y, residual: panels [N][width] float.
struct Args {
  const uint8_t* x;
  const float* scale_x;       // [width]
  const int32_t* zero_point;  // [width]
  const void* w;              // packed by the same kernel's pack()
  const float* scale_w;       // [N]
  const int32_t* row_sum;     // [N]: sum over k of w[n][k]
  const float* bias;          // [N] or null
  const float* residual;      // or null
  float* y;
  int64_t k, n, n_begin, n_end;  // n_begin a multiple of kOutputs
  int width;
  pointwise::Function activation = pointwise::Function::kNone;
};

inline constexpr int64_t kMostInputs = 32767;

inline constexpr int kOutputs = 8;  // outputs are packed in groups of 8, the last one filled with zeros

struct Kernel {
  Isa isa;
  const char* name;  // that of the instruction set, and of the codes where they are bounded
  CodeBounds bounds;
  bool activates;  // applies args.activation, which is kNone for others
  // From this share of zero 4x1 blocks on the sparse product (kernels/spmm_i8) that would take its place is
  // faster: measured by bench/product_bench on one machine of the kind (bench/RESULTS.md).
  double sparse_from;
  std::size_t (*packed_bytes)(int64_t n, int64_t k);
  void (*pack)(const int8_t* w, int64_t n, int64_t k, void* packed);
  void (*run)(const Args& args);
};

// The best kernel that takes weights and codes up to `codes`: fewer bits are faster on some CPUs.
const Kernel& select(const CodeBounds& codes = kAnyCodes);
const Kernel* find(Isa isa);        // the instruction set's own kernel that takes any, or null
std::vector<const Kernel*> list();  // all, best first

}  // namespace penjing::gemm_i8
