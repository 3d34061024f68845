// 8-bit attention on AMX: the codes of sixteen keys are the rows of one tile, the quads of sixteen queries
// the other, so that a tile of sums is the sixteen exponents of sixteen keys; the same for values and
// probabilities.
#include "kernels/simd/avx512.h"
//
#include "kernels/simd/amx_tiles.h"

namespace {

// Keys are rows of features, values rows of tokens, both padded to tiles.
struct Dot {
  using Code = int8_t;
  static constexpr int kTokens = 64, kKeyFeatures = 64, kValueFeatures = 16;

  PENJING_INLINE void store_keys(Code* keys, int64_t, int64_t features, int64_t token, int64_t feature,
                                 const Vector::Int (&code)[4]) {
    const __m512i byte = _mm512_set1_epi32(0xff);
    const __m512i low = _mm512_or_si512(_mm512_and_si512(code[0], byte),
                                        _mm512_slli_epi32(_mm512_and_si512(code[1], byte), 8));
    const __m512i high = _mm512_or_si512(_mm512_and_si512(code[2], byte),
                                         _mm512_slli_epi32(_mm512_and_si512(code[3], byte), 8));
    const __m512i rows =
        _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                           _mm512_set1_epi32(static_cast<int>(features)));
    _mm512_i32scatter_epi32(keys + token * features + feature, rows,
                            _mm512_or_si512(low, _mm512_slli_epi32(high, 16)), 1);
  }
  PENJING_INLINE void store_row(Code* p, Vector::Int code) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(code));
  }
};

}  // namespace

#include "kernels/attention_i8/softmax_simd.h"

namespace penjing::attention_i8::amx {

namespace {

constexpr int kTile = 16, kTileBytes = 1024;

// What is beyond the head's features is multiplied too: as 0.
void prepare_tiles(const Keys& keys) {
  const Prepared to = layout(keys.prepared, keys.head_dim, keys.length);
  if (keys.head_dim % Dot::kKeyFeatures != 0) {
    __builtin_memset(to.keys, 0, static_cast<std::size_t>(to.features * to.tokens));
  }
  prepare(keys);
}

// Tiles 0 to 3 are sums of rows 0 to 63 of `rows`, whose next is `stride` bytes on, times the sixteen columns
// of `columns` over `size` bytes, a multiple of 64; stored [64][16] at `sums`. Only the first `count` tiles.
PENJING_INLINE void multiply_rows(const char* rows, int64_t stride, const char* columns, int64_t size,
                                  int64_t count, char* sums) {
  zero_tile<0>();
  zero_tile<1>();
  zero_tile<2>();
  zero_tile<3>();
  for (int64_t at = 0; at < size; at += 64) {
    load_tile<4>(columns + at / 4 * 64, 64);
    load_tile<5>(rows + at, stride);
    add_signed_by_unsigned<0, 5, 4>();
    if (count > 1) {
      load_tile<6>(rows + at + kTile * stride, stride);
      add_signed_by_unsigned<1, 6, 4>();
    }
    if (count > 2) {
      load_tile<7>(rows + at + 2 * kTile * stride, stride);
      add_signed_by_unsigned<2, 7, 4>();
    }
    if (count > 3) {
      load_tile<5>(rows + at + 3 * kTile * stride, stride);
      add_signed_by_unsigned<3, 5, 4>();
    }
  }
  store_tile<0>(sums);
  if (count > 1) store_tile<1>(sums + kTileBytes);
  if (count > 2) store_tile<2>(sums + 2 * kTileBytes);
  if (count > 3) store_tile<3>(sums + 3 * kTileBytes);
}

PENJING_INLINE int64_t tiles_from(int64_t begin, int64_t end) {
  const int64_t tiles = (end - begin + kTile - 1) / kTile;
  return tiles < 4 ? tiles : 4;
}

// Sums in `exponents` to exponents of keys [begin, end); returns the largest. Four chains of maxima hide
// their latency.
PENJING_INLINE V::Float scale_sums(const Args& args, const Prepared& from, float* exponents, V::Float factor,
                                   int64_t begin, int64_t end) {
  V::Float highest[4];
  for (auto& h : highest) h = V::set(-__builtin_inff());
  const auto scale = [&](int64_t key, V::Float & of) __attribute__((always_inline)) {
    float* at = exponents + key * kQueries;
    const V::Int sum =
        V::add_int(V::load_int(reinterpret_cast<const int32_t*>(at)), V::set_int(from.key_offset[key]));
    V::store(at, exponent_of(args, from, sum, factor, key, 0, of));
  };
  int64_t key = begin;
  for (; key + 4 <= end; key += 4) {
    for (int i = 0; i < 4; ++i) scale(key + i, highest[i]);
  }
  for (; key < end; ++key) scale(key, highest[0]);
  return V::max(V::max(highest[0], highest[1]), V::max(highest[2], highest[3]));
}

void run(const Args& shared) {
  const Args args = shared;  // stores could change what is shared
  const Prepared from = layout(const_cast<void*>(args.prepared), args.head_dim, args.length);
  const Scratch scratch = scratch_of(args, from);
  V::Float bad = V::set(*from.poison);
  const V::Float scale = quantize_queries(args, 0, scratch.queries, bad);
  const V::Float factor = V::mul(scale, V::set(args.scale * kLog2E));
  const int64_t begin = args.key_begin / 64 * 64, end = round_up(args.key_end, 64);

  written_for_tiles();
  begin_tiles();
  for (int64_t key = begin; key < args.key_end; key += 64) {
    multiply_rows(reinterpret_cast<const char*>(from.keys + key * from.features), from.features,
                  reinterpret_cast<const char*>(scratch.queries), from.features,
                  tiles_from(key, args.key_end), reinterpret_cast<char*>(scratch.exponents + key * kQueries));
  }
  const V::Float highest = scale_sums(args, from, scratch.exponents, factor, args.key_begin, args.key_end);
  const V::Int total = weigh_keys(args, scratch, begin, end, 0, highest);
  const V::Float inverse = inverse_of(total, factor, bad);

  written_for_tiles();
  auto* sums = reinterpret_cast<char*>(scratch.exponents + begin * kQueries);  // they are read no more
  for (int64_t d = 0; d < args.head_dim; d += 64) {
    multiply_rows(reinterpret_cast<const char*>(from.values + d * from.tokens + begin), from.tokens,
                  reinterpret_cast<const char*>(scratch.probabilities + begin / 4 * kQueries), end - begin,
                  tiles_from(d, args.head_dim), sums);
    for (int64_t f = d; f < args.head_dim && f < d + 64; ++f) {
      const V::Int sum = V::load_int(reinterpret_cast<const int32_t*>(sums) + (f - d) * kQueries);
      V::store(args.out + f * kQueries,
               V::mul(V::mul(V::to_float(sum), V::set(from.value_scale[f])), inverse));
    }
  }
  end_tiles();
}

}  // namespace

// Heads of 32 features are as fast by vpdpbusd at 48 tokens, heads of 64 at 32 (one thread, Granite Rapids).
extern const Kernel kernel;
const Kernel kernel = {Isa::kAmx, 48, prepared_bytes, scratch_bytes, prepare_tiles, run};

}  // namespace penjing::attention_i8::amx
