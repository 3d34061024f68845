#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/spmm_f32/spmm_f32.h"

// The one packed form: for each group of four outputs where its blocks begin, [groups][sums + 1] (sums: how
// many times a chain begins anew), then all blocks in the order of k, inputs and weights apart:
//   int32 first[groups][sums + 1]   int32 input[blocks]   (64-byte border)   float weight[blocks][4]
namespace {

using penjing::gemm_f32::kBlock;
using penjing::spmm_f32::kOutputs;

struct Blocks {
  const int32_t* first;
  const int32_t* input;
  const float* weight;
  int64_t num_sums;
};

inline int64_t round_up_16(int64_t n) {
  return (n + 15) / 16 * 16;
}

inline bool is_zero_block(const float* w, int64_t n, int64_t k, int64_t group, int64_t input) {
  for (int64_t o = group * kOutputs; o < (group + 1) * kOutputs && o < n; ++o) {
    if (w[o * k + input] != 0) return false;
  }
  return true;
}

inline int64_t index_words(int64_t n, int64_t k) {
  return (n + kOutputs - 1) / kOutputs * ((k + kBlock - 1) / kBlock + 1);
}

std::size_t packed_bytes(const float* w, int64_t n, int64_t k) {
  int64_t blocks = 0;
  for (int64_t group = 0; group * kOutputs < n; ++group) {
    for (int64_t i = 0; i < k; ++i) blocks += is_zero_block(w, n, k, group, i) ? 0 : 1;
  }
  return static_cast<std::size_t>(round_up_16(index_words(n, k) + blocks) + blocks * kOutputs) * 4;
}

void pack(const float* w, int64_t n, int64_t k, void* packed) {
  auto* first = static_cast<int32_t*>(packed);
  int32_t* input = first + index_words(n, k);
  int32_t blocks = 0;
  for (int64_t group = 0; group * kOutputs < n; ++group) {
    for (int64_t i = 0; i < k; ++i) {
      if (i % kBlock == 0) *first++ = blocks;
      if (!is_zero_block(w, n, k, group, i)) input[blocks++] = static_cast<int32_t>(i);
    }
    *first++ = blocks;
  }
  first = static_cast<int32_t*>(packed);
  auto* weight = reinterpret_cast<float*>(first + round_up_16(index_words(n, k) + blocks));
  const int64_t step = (k + kBlock - 1) / kBlock + 1;
  for (int64_t group = 0; group * kOutputs < n; ++group) {
    for (int32_t b = first[group * step]; b < first[(group + 1) * step - 1]; ++b) {
      for (int64_t o = group * kOutputs; o < (group + 1) * kOutputs; ++o)
        *weight++ = o < n ? w[o * k + input[b]] : 0.0f;
    }
  }
}

bool valid(const void* packed, std::size_t bytes, int64_t n, int64_t k) {
  if (n < 1 || k < 1) return false;
  const int64_t words = index_words(n, k), step = (k + kBlock - 1) / kBlock + 1;
  const auto* first = static_cast<const int32_t*>(packed);
  if (bytes / 4 < static_cast<std::size_t>(words) || first[0] != 0) return false;
  for (int64_t i = 0; i + 1 < words; ++i) {
    const int32_t most =
        (i + 1) % step == 0 ? 0 : static_cast<int32_t>(kBlock);  // a group begins where one ends
    if (first[i + 1] < first[i] || first[i + 1] - first[i] > most) return false;
  }
  const int64_t blocks = first[words - 1];
  if (bytes < static_cast<std::size_t>(round_up_16(words + blocks) + blocks * kOutputs) * 4) return false;
  const int32_t* input = first + words;
  for (int64_t i = 0; i < blocks; ++i) {
    if (input[i] < 0 || input[i] >= k) return false;
  }
  return true;
}

inline Blocks unpack(const penjing::spmm_f32::Args& args) {
  Blocks blocks;
  blocks.num_sums = (args.k + kBlock - 1) / kBlock;
  blocks.first = static_cast<const int32_t*>(args.w);
  const int64_t words = index_words(args.n, args.k);
  blocks.input = blocks.first + words;
  blocks.weight = reinterpret_cast<const float*>(blocks.first + round_up_16(words + blocks.first[words - 1]));
  return blocks;
}

}  // namespace
