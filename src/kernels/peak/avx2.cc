#include <immintrin.h>

#include "kernels/peak/chains.h"
#include "kernels/peak/peak.h"

namespace penjing::peak::avx2 {

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

// Sixteen 16-bit products and their sums: what an exact product of 8-bit codes costs without 8-bit dot
// products.
int64_t i8(int64_t iterations) {
  const __m256i a = _mm256_set1_epi16(3);
  run_chains<__m256i, kChains>(
      iterations, a, [a](__m256i & v) __attribute__((always_inline)) {
        __m256i product;
        asm volatile("vpmaddwd %1, %1, %0" : "=x"(product) : "x"(a));
        asm volatile("vpaddd %1, %0, %0" : "+x"(v) : "x"(product));
      });
  return iterations * kChains * 32;
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx2, f32, i8, nullptr};

}  // namespace penjing::peak::avx2
