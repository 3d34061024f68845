#pragma once

// The chains of AVX-512, VNNI and BF16; each instruction set's file takes those that it has.
#include <immintrin.h>

#include "kernels/peak/chains.h"

namespace {

constexpr int kChains = 16;

int64_t f32(int64_t iterations) {
  const __m512 a = _mm512_set1_ps(0.5f);
  run_chains<__m512, kChains>(
      iterations, a, [a](__m512 & v) __attribute__((always_inline)) {
        asm volatile("vfmadd231ps %1, %1, %0" : "+v"(v) : "v"(a));
      });
  return iterations * kChains * 32;
}

[[maybe_unused]] int64_t i8(int64_t iterations) {
  const __m512i a = _mm512_set1_epi8(3);
  run_chains<__m512i, kChains>(
      iterations, a, [a](__m512i & v) __attribute__((always_inline)) {
#if defined(__AVX512VNNI__)
        asm volatile("vpdpbusd %1, %1, %0" : "+v"(v) : "v"(a));
#else
        __m512i product;
        asm volatile("vpmaddwd %1, %1, %0" : "=v"(product) : "v"(a));
        asm volatile("vpaddd %1, %0, %0" : "+v"(v) : "v"(product));
#endif
      });
#if defined(__AVX512VNNI__)
  return iterations * kChains * 128;
#else
  return iterations * kChains * 64;
#endif
}

#if defined(__AVX512BF16__)
[[maybe_unused]] int64_t bf16(int64_t iterations) {
  const __m512 a = _mm512_castsi512_ps(_mm512_set1_epi16(0x3f00));  // 0.5
  run_chains<__m512, kChains>(
      iterations, a, [a](__m512 & v) __attribute__((always_inline)) {
        asm volatile("vdpbf16ps %1, %1, %0" : "+v"(v) : "v"(a));
      });
  return iterations * kChains * 64;
}
#endif

}  // namespace
