#pragma once

#include <cstdint>

#include "kernels/cpu.h"

namespace penjing::attention {

// softmax(scale * Q K^T + bias) V for one head of one sequence and 16 of its queries (lanes), FP32.
//
// q: [head_dim][16] the queries' features, lanes are queries (surplus lanes hold zeros).
// k, v: [head_dim][length_stride] features of all the sequence's tokens, length_stride a multiple of 16.
// bias: [length][16] added to the scores, or null (relative positions). out: [head_dim][16].
// keys [key_begin, key_end) take part for every lane (the window of local attention is cut per 16 queries by
// the caller and refined with bias -inf).
// scores: scratch [length][16].
//
// Arithmetic, each lane by itself: s_j = scale * (chain of fma over d ascending of q_d k_dj) (+ bias);
// m = max over j; e_j = exp(s_j - m) by kernels/pointwise's exp; sum in four partial sums over
// j mod 4 combined (s0 + s1) + (s2 + s3); out_d = (chain of fma over j ascending of e_j v_dj) * (1 / sum).
struct Args {
  const float* q;
  const float* k;
  const float* v;
  const float* bias;
  float* out;
  float* scores;
  int64_t head_dim, length_stride, key_begin, key_end;
  float scale;
};

struct Kernel {
  Isa isa;
  void (*run)(const Args& args);
};

const Kernel& select();
const Kernel* find(Isa isa);

}  // namespace penjing::attention
