#pragma once

// The chains of AVX2, with the 8-bit products of AVX-VNNI where the file has them.
#include <immintrin.h>

#include "kernels/peak/chains.h"

namespace {

constexpr int kChains = 12;

int64_t f32(int64_t iterations) {
  const __m256 a = _mm256_set1_ps(0.5f);
  run_chains<__m256, kChains>(
      iterations, a, [a](__m256 & v) __attribute__((always_inline)) {
        asm volatile("vfmadd231ps %1, %1, %0" : "+x"(v) : "x"(a));
      });
  return iterations * kChains * 16;
}

// Without 8-bit dot products: sixteen 16-bit products and their sums, what an exact product of codes costs.
int64_t i8(int64_t iterations) {
#if defined(__AVXVNNI__)
  const __m256i a = _mm256_set1_epi8(3);
  run_chains<__m256i, kChains>(
      iterations, a, [a](__m256i & v) __attribute__((always_inline)) {
        asm volatile("%{vex%} vpdpbusd %1, %1, %0" : "+x"(v) : "x"(a));
      });
  return iterations * kChains * 64;
#else
  const __m256i a = _mm256_set1_epi16(3);
  run_chains<__m256i, kChains>(
      iterations, a, [a](__m256i & v) __attribute__((always_inline)) {
        __m256i product;
        asm volatile("vpmaddwd %1, %1, %0" : "=x"(product) : "x"(a));
        asm volatile("vpaddd %1, %0, %0" : "+x"(v) : "x"(product));
      });
  return iterations * kChains * 32;
#endif
}

}  // namespace
