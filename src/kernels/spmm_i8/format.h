#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/spmm_i8/spmm_i8.h"

// The packed form, Weight being s8 or s16: four blocks of a group of four outputs make a quad; the last one
// of a group is filled up with zero weights on input 0.
//   int32 first[groups + 1]   int32 input[quads][4]   (64-byte border)   Weight weight[quads][4 outputs][4
//   inputs]
namespace {

using penjing::spmm_i8::kOutputs;

template <typename Weight>
struct Quads {
  const int32_t* first;
  const int32_t* input;
  const Weight* weight;
};

inline int64_t round_up_16(int64_t n) {
  return (n + 15) / 16 * 16;
}

inline bool is_zero_block(const int8_t* w, int64_t n, int64_t k, int64_t group, int64_t input) {
  for (int64_t o = group * kOutputs; o < (group + 1) * kOutputs && o < n; ++o) {
    if (w[o * k + input] != 0) return false;
  }
  return true;
}

inline int64_t groups_of(int64_t n) {
  return (n + kOutputs - 1) / kOutputs;
}

template <typename Weight>
std::size_t packed_bytes(const int8_t* w, int64_t n, int64_t k) {
  int64_t quads = 0;
  for (int64_t group = 0; group < groups_of(n); ++group) {
    int64_t blocks = 0;
    for (int64_t i = 0; i < k; ++i) blocks += is_zero_block(w, n, k, group, i) ? 0 : 1;
    quads += (blocks + 3) / 4;
  }
  return static_cast<std::size_t>(round_up_16(groups_of(n) + 1 + 4 * quads)) * 4 +
         static_cast<std::size_t>(quads) * 16 * sizeof(Weight);
}

template <typename Weight>
void pack(const int8_t* w, int64_t n, int64_t k, void* packed) {
  auto* first = static_cast<int32_t*>(packed);
  int32_t* input = first + groups_of(n) + 1;
  int32_t blocks = 0;
  for (int64_t group = 0; group < groups_of(n); ++group) {
    first[group] = blocks / 4;
    for (int64_t i = 0; i < k; ++i) {
      if (!is_zero_block(w, n, k, group, i)) input[blocks++] = static_cast<int32_t>(i);
    }
    while (blocks % 4 != 0) input[blocks++] = -1;
  }
  first[groups_of(n)] = blocks / 4;
  auto* weight = reinterpret_cast<Weight*>(first + round_up_16(groups_of(n) + 1 + blocks));
  for (int64_t group = 0; group < groups_of(n); ++group) {
    for (int64_t quad = first[group]; quad < first[group + 1]; ++quad) {
      for (int64_t o = group * kOutputs; o < (group + 1) * kOutputs; ++o) {
        for (int i = 0; i < 4; ++i) {
          const int32_t from = input[4 * quad + i];
          *weight++ = static_cast<Weight>(o < n && from >= 0 ? w[o * k + from] : 0);
        }
      }
    }
  }
  for (int32_t b = 0; b < blocks; ++b) {
    if (input[b] < 0) input[b] = 0;
  }
}

template <typename Weight>
bool valid(const void* packed, std::size_t bytes, int64_t n, int64_t k) {
  const int64_t groups = groups_of(n), quads_per_group = (k + 3) / 4;
  const auto* first = static_cast<const int32_t*>(packed);
  if (n < 1 || k < 1 || bytes / 4 < static_cast<std::size_t>(groups + 1) || first[0] != 0) return false;
  for (int64_t group = 0; group < groups; ++group) {
    if (first[group + 1] < first[group] || first[group + 1] - first[group] > quads_per_group) return false;
  }
  const int64_t quads = first[groups];
  if (bytes < static_cast<std::size_t>(round_up_16(groups + 1 + 4 * quads)) * 4 +
                  static_cast<std::size_t>(quads) * 16 * sizeof(Weight))
    return false;
  const int32_t* input = first + groups + 1;
  for (int64_t i = 0; i < 4 * quads; ++i) {
    if (input[i] < 0 || input[i] >= k) return false;
  }
  return true;
}

template <typename Weight>
Quads<Weight> unpack(const penjing::spmm_i8::Args& args) {
  Quads<Weight> quads;
  quads.first = static_cast<const int32_t*>(args.w);
  const int64_t groups = groups_of(args.n);
  quads.input = quads.first + groups + 1;
  quads.weight = reinterpret_cast<const Weight*>(quads.first +
                                                 round_up_16(groups + 1 + 4 * int64_t{quads.first[groups]}));
  return quads;
}

}  // namespace
