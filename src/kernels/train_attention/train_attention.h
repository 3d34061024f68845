#pragma once

#include <cstdint>

#include "kernels/cpu.h"
#include "kernels/train_rows.h"

namespace penjing::train_attention {

// Attention of one head of one sequence, and its gradients. Q, K, V: [length][head_dim].
//   S = scale Q K^T + bias, -infinity where |i - j| > window > 0;  P = softmax of S's rows
//   out = (P dropped) V, element (i, j) of P by row key sample << 20 | i and column head << 20 | j
// Kept for backward: of each row the maximum of S and 1 / sum of exp(S - maximum), from which P comes again.
//   d_V = (P dropped)^T d_out;  d_P = (d_out V^T) dropped with the same mask
//   d_S = P (d_P - sum over j of P d_P);  d_Q = scale d_S K;  d_K = scale d_S^T Q;  d_bias = d_S
// All in FP32 whatever the rows are. The result depends on nothing but this head of this sequence.
struct Shape {
  train_rows::Element element;  // of q, k, v, out and their gradients
  int64_t length, head_dim;
  // Elements from one token to the next.
  int64_t q_stride, k_stride, v_stride, out_stride;
  float scale;
  int64_t window;     // 0: global
  const float* bias;  // [length][bias_stride], or null
  int64_t bias_stride;
  train_rows::Dropout dropout;
  int64_t sample;
  uint32_t head;
};

struct Forward {
  Shape shape;
  const void *q, *k, *v;
  void* out;
  float* statistics;  // [length][2], or null
  float* scratch;     // scratch_floats(length, head_dim), at a multiple of 64 bytes
};

struct Backward {
  Shape shape;
  const void *q, *k, *v, *d_out;  // d_out: out_stride
  const float* statistics;
  void *d_q, *d_k, *d_v;  // [length] rows of gradient_stride
  int64_t gradient_stride;
  float* d_bias;  // [length][bias_stride], added to; or null
  float* scratch;
};

struct Kernel {
  Isa isa;
  int64_t (*scratch_floats)(int64_t length, int64_t head_dim);
  void (*forward)(const Forward& args);
  void (*backward)(const Backward& args);
};

const Kernel& select();
const Kernel* find(Isa isa);

}  // namespace penjing::train_attention
