// BF16 product with vdpbf16ps. Weights packed [ceil(N/8)][ceil(K/2)][8][2]: as gemm_i8/avx512_vnni.cc, a pair
// of 16-bit numbers in the place of a quad of bytes.
#include "kernels/gemm_bf16/pairs_512.h"

namespace penjing::gemm_bf16::avx512_bf16 {

namespace {

int64_t pairs_of(int64_t k) {
  return (k + 1) / 2;
}

std::size_t packed_bytes(int64_t n, int64_t k) {
  return static_cast<std::size_t>((n + kOutputs - 1) / kOutputs * kOutputs * pairs_of(k) * 2) *
         sizeof(uint16_t);
}

void pack(const uint16_t* w, int64_t n, int64_t k, void* packed) {
  auto* out = static_cast<uint16_t*>(packed);
  for (int64_t group = 0; group < n; group += kOutputs) {
    for (int64_t pair = 0; pair < pairs_of(k); ++pair) {
      for (int64_t o = group; o < group + kOutputs; ++o) {
        for (int64_t i = 2 * pair; i < 2 * pair + 2; ++i)
          *out++ = o < n && i < k ? w[o * k + i] : uint16_t{0};
      }
    }
  }
}

PENJING_INLINE __m512bh broadcast_pair(const uint16_t* w) {
  int pair;
  __builtin_memcpy(&pair, w, 4);
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
}

// The eight outputs of the group at `w` x 16 tokens from `column`: eight sums hide the latency of vdpbf16ps
// on Zen 4 (6 cycles, one a cycle).
PENJING_INLINE void multiply_tile(const Args& args, const uint16_t* w, int64_t group, int column) {
  __m512 sum[kOutputs];
  for (auto& s : sum) s = _mm512_setzero_ps();
  const uint16_t* x = args.x + 2 * column;
  const int64_t ahead = pairs_of(args.k) * 2 * kOutputs;  // the next group, as in the other products
  for (int64_t pair = pairs_of(args.k); pair > 0; --pair, x += 2 * args.width, w += 2 * kOutputs) {
    const auto value = reinterpret_cast<__m512bh>(_mm512_loadu_si512(x));
    __builtin_prefetch(w + ahead);
    for (int o = 0; o < kOutputs; ++o) sum[o] = _mm512_dpbf16_ps(sum[o], value, broadcast_pair(w + 2 * o));
  }
  for (int o = 0; o < kOutputs && group + o < args.n_end; ++o) {
    __m512 one[1] = {sum[o]};
    finish(args, group + o, column, one);
  }
}

void run(const Args& args) {
  const auto* packed = static_cast<const uint16_t*>(args.w);
  for (int64_t group = args.n_begin; group < args.n_end; group += kOutputs) {
    const uint16_t* w = packed + group * pairs_of(args.k) * 2;
    for (int column = 0; column < args.width; column += 16) multiply_tile(args, w, group, column);
  }
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kAvx512Bf16, packed_bytes, pack, convert, run};

}  // namespace penjing::gemm_bf16::avx512_bf16
