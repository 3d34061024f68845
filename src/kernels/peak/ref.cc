// What plain code does: one number at a time.
#include "kernels/peak/chains.h"
#include "kernels/peak/peak.h"

namespace penjing::peak::ref {

namespace {

constexpr int kChains = 8;

int64_t f32(int64_t iterations) {
  run_chains<float, kChains>(
      iterations, 1.0f, [](float& v) __attribute__((always_inline)) {
        v = v * 0.5f + 0.25f;
        asm volatile("" : "+m"(v));
      });
  return iterations * kChains * 2;
}

int64_t i8(int64_t iterations) {
  run_chains<int32_t, kChains>(
      iterations, 1, [](int32_t & v) __attribute__((always_inline)) {
        v = static_cast<int8_t>(v) * 3 + 1;
        asm volatile("" : "+r"(v));
      });
  return iterations * kChains * 2;
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kRef, f32, i8, nullptr};

}  // namespace penjing::peak::ref
