#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"

namespace penjing::attention_i8 {

// softmax(scale * Q K^T + bias) V for one head of one sequence with 8-bit products: what kernels/attention
// computes in FP32. Queries and keys get a scale a token, values one a feature over the sequence, all
// symmetric (numerics/quantizer.h); probabilities are codes in units of 1 / 255 of the largest. So a result
// depends on its own sequence alone. Every operation is FP32 or exact, in a fixed order: bit-equal on every
// instruction set.
//
//   q_d = round(Q_d / sq), k_jd = round(K_jd / sk_j), v_jd = round(V_jd / sv_d), each in [-127, 127]
//   s_j = float(sum over d of q_d k_jd) * (sq * (scale * log2 e)) * sk_j (+ bias_j * log2 e)
//   p_j = round(2^(s_j - max s + log2 255)), the exponential by kExp2C below, exponents under -20 counting as
//   -20 out_d = float(sum over j of p_j v_jd) * sv_d * (1 / float(sum over j of p_j))
//
// A query, key or value that is not finite makes the outputs that it touches not finite (at most: the whole
// head). Sums stay exact: head_dim <= 2^17, length <= 2^16.

// Keys and values of a sequence, [head_dim][stride] FP32 each, tokens [0, length): read up to there and no
// further.
struct Keys {
  const float* k;
  const float* v;
  int64_t head_dim, length, stride;
  void* prepared;  // prepared_bytes(head_dim, length), 64-byte aligned
};

struct Args {
  const float* q;                                // [head_dim][16]: lanes are queries
  const void* prepared;                          // by the same kernel's prepare()
  const float* bias;                             // [length][16], or null
  float* out;                                    // [head_dim][16]
  void* scratch;                                 // scratch_bytes(head_dim, length), 64-byte aligned
  int64_t head_dim, length, key_begin, key_end;  // keys [key_begin, key_end) take part for every lane
  float scale;
};

struct Kernel {
  Isa isa;
  int64_t shortest;  // sequences from this length on are what it is best at: others take less to prepare
  std::size_t (*prepared_bytes)(int64_t head_dim, int64_t length);
  std::size_t (*scratch_bytes)(int64_t head_dim, int64_t length);
  void (*prepare)(const Keys& keys);
  void (*run)(const Args& args);
};

inline constexpr int64_t kLong = int64_t{1} << 16;
const Kernel& select(int64_t length = kLong);  // the best for sequences of that length
const Kernel* find(Isa isa);

inline constexpr int kQueries = 16;
inline constexpr float kLog2Of255 = 7.99435344f;
// Smaller exponents round to the code 0 anyway; here the exponential still is a normal number.
inline constexpr float kSmallestExponent = -20.0f;

}  // namespace penjing::attention_i8
