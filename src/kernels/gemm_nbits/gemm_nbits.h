#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"

namespace penjing::gemm_nbits {

// Weights of 4 or 8 bits with a scale for each group of inputs, times FP32 activations: gemm_f32's product of
// w[n][k] = float(code[n][k]) * scale[n][k / group], rounded once, bit for bit. The weights are widened a
// block at a time, in the first cache: a model stays as small in memory as on disk, at 4 bits an eighth of
// FP32.
//
// x: one panel [K][width] FP32; y, residual: [N][width]; outputs [n_begin, n_end), n_begin a multiple of
// kOutputs.
struct Layout {
  int bits = 8;       // 4: codes -8..7
  int64_t group = 0;  // inputs that share a scale: a multiple of 4, or K
};

struct Args {
  const float* x;
  const void* w;  // packed by the same kernel's pack()
  Layout layout;
  const float* bias;      // [N] or null
  const float* residual;  // or null; may alias y
  float* y;
  int64_t k, n_begin, n_end;
  int width;
};

inline constexpr int kOutputs = 8;

struct Kernel {
  Isa isa;
  std::size_t (*packed_bytes)(int64_t n, int64_t k, const Layout& layout);
  // codes [n, k] and scales [n, ceil(k / group)], row-major
  void (*pack)(const int8_t* codes, const float* scales, int64_t n, int64_t k, const Layout& layout,
               void* packed);
  void (*run)(const Args& args);
};

const Kernel& select();
const Kernel* find(Isa isa);

}  // namespace penjing::gemm_nbits
