#pragma once

// 8-bit attention over simd/<isa>.h's Vector and a Dot of the instruction set: include them first. Dot says
// how signed codes are stored so that one of their quads can be broadcast against the quads of unsigned codes
// of a register, and multiplies them.
#include "kernels/attention_i8/attention_i8.h"
#include "kernels/pointwise/constants.h"
#include "kernels/quantize/symmetric_simd.h"

namespace {

using namespace penjing::attention_i8;
using penjing::pointwise::kExp2C;
using penjing::pointwise::kLog2E;
using penjing::pointwise::kRoundMagic;
using Code = Dot::Code;

// Sums that run side by side: enough to hide the latency of a product.
constexpr int kChains = 8;
constexpr int kUnsignedZero = 128;  // queries are codes + 128, because the products want them unsigned

int64_t round_up(int64_t n, int64_t step) {
  return (n + step - 1) / step * step;
}

// Prepared form, tokens padded to 16, features to 4:
//   scales of the keys, what their unsigned queries' zero point adds [tokens] (kept as its negative), scales
//   of the values [features], 0 or NaN [16], codes of the keys in quads [features / 4][tokens][4], of the
//   values [features][tokens]
struct Prepared {
  float* key_scale;
  int32_t* key_offset;
  float* value_scale;
  float* poison;
  Code* keys;
  Code* values;
  int64_t tokens;
};

PENJING_INLINE Prepared layout(void* base, int64_t head_dim, int64_t length) {
  Prepared p;
  p.tokens = round_up(length, kQueries);
  p.key_scale = static_cast<float*>(base);
  p.key_offset = reinterpret_cast<int32_t*>(p.key_scale + p.tokens);
  p.value_scale = reinterpret_cast<float*>(p.key_offset + p.tokens);
  p.poison = p.value_scale + round_up(head_dim, kQueries);
  p.keys = reinterpret_cast<Code*>(p.poison + kQueries);
  p.values = p.keys + round_up(head_dim, 4) * p.tokens;
  return p;
}

std::size_t prepared_bytes(int64_t head_dim, int64_t length) {
  const int64_t tokens = round_up(length, kQueries);
  return static_cast<std::size_t>(4 * (2 * tokens + round_up(head_dim, kQueries) + kQueries)) +
         static_cast<std::size_t>((round_up(head_dim, 4) + head_dim) * tokens) * sizeof(Code);
}

// Exponents [tokens][16], quads of the queries [features / 4][16][4], of the probabilities [tokens /
// 4][16][4].
std::size_t scratch_bytes(int64_t head_dim, int64_t length) {
  const int64_t tokens = round_up(length, kQueries);
  return static_cast<std::size_t>(kQueries * (4 * tokens + round_up(head_dim, 4) + tokens));
}

// One number of all lanes of a and what `bad` holds of the lanes.
PENJING_INLINE float largest_lane(V::Float a) {
  float lanes[V::kLanes];
  V::store(lanes, a);
  float largest = 0;
  for (const float lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}

PENJING_INLINE V::Float prepare_keys(const Keys& keys, const Prepared& to) {
  V::Float bad = V::zero();
  for (int64_t strip = 0; strip < to.tokens; strip += V::kLanes) {
    const int64_t count = keys.length > strip ? keys.length - strip : 0;
    const auto load = [&](int64_t d) __attribute__((always_inline)) {
      return V::load_first(keys.k + d * keys.stride + strip, count);
    };
    V::Float largest = V::zero();
    for (int64_t d = 0; d < keys.head_dim; ++d) {
      const V::Float x = load(d);
      bad = V::fma(x, V::zero(), bad);
      largest = V::max(V::abs(x), largest);
    }
    const Symmetric params = symmetric_params(largest, 127.0f);
    V::store(to.key_scale + strip, params.scale);
    V::Int sum = V::set_int(0);
    for (int64_t d = 0; d < keys.head_dim; d += 4) {
      V::Int code[4];
      for (int i = 0; i < 4; ++i) {
        code[i] = V::set_int(0);
        if (d + i < keys.head_dim) code[i] = V::to_int(V::mul(load(d + i), params.inverse));
        sum = V::add_int(sum, code[i]);
      }
      Dot::store_quads(to.keys + (d / 4 * to.tokens + strip) * 4, code);
    }
    static_assert(kUnsignedZero == 128);
    V::store_int(to.key_offset + strip, V::sub_int(V::set_int(0), V::shift_left<7>(sum)));
  }
  return bad;
}

PENJING_INLINE V::Float prepare_values(const Keys& keys, const Prepared& to) {
  V::Float bad = V::zero();
  for (int64_t d = 0; d < keys.head_dim; ++d) {
    const float* v = keys.v + d * keys.stride;
    V::Float largest = V::zero();
    for (int64_t j = 0; j < keys.length; j += V::kLanes) {
      const V::Float x = V::load_first(v + j, keys.length - j);
      bad = V::fma(x, V::zero(), bad);
      largest = V::max(V::abs(x), largest);
    }
    const Symmetric params = symmetric_params(V::set(largest_lane(largest)), 127.0f);
    float scale[V::kLanes];
    V::store(scale, params.scale);
    to.value_scale[d] = scale[0];
    for (int64_t j = 0; j < to.tokens; j += V::kLanes) {
      const V::Float x = V::load_first(v + j, keys.length > j ? keys.length - j : 0);
      Dot::store_row(to.values + d * to.tokens + j, V::to_int(V::mul(x, params.inverse)));
    }
  }
  return bad;
}

void prepare(const Keys& keys) {
  const Prepared to = layout(keys.prepared, keys.head_dim, keys.length);
  float lanes[V::kLanes];
  V::store(lanes, V::add(prepare_keys(keys, to), prepare_values(keys, to)));
  float bad = 0;
  for (const float lane : lanes) bad += lane;
  *to.poison = bad;
}

// 2^z for z <= 8.
PENJING_INLINE V::Float exp2_vector(V::Float x) {
  const V::Float z = V::max(x, V::set(kSmallestExponent));
  const V::Float shifted = V::add(z, V::set(kRoundMagic));
  const V::Float f = V::sub(z, V::sub(shifted, V::set(kRoundMagic)));
  V::Float p = V::fma(V::set(kExp2C[3]), f, V::set(kExp2C[2]));
  p = V::fma(p, f, V::set(kExp2C[1]));
  p = V::fma(p, f, V::set(kExp2C[0]));
  return V::as_float(V::add_int(V::as_int(p), V::shift_left<23>(V::as_int(shifted))));
}

// Quads of the queries of a strip to `quads`; returns their scales. bad: NaN for a lane that is not finite.
PENJING_INLINE V::Float quantize_queries(const Args& args, int strip, int32_t* quads, V::Float& bad) {
  V::Float largest = V::zero();
  for (int64_t d = 0; d < args.head_dim; ++d) {
    const V::Float x = V::load(args.q + d * kQueries + strip);
    bad = V::fma(x, V::zero(), bad);
    largest = V::max(V::abs(x), largest);
  }
  const Symmetric params = symmetric_params(largest, 127.0f);
  for (int64_t d = 0; d < args.head_dim; d += 4) {
    V::Int code[4];
    for (int i = 0; i < 4; ++i) {
      code[i] = V::set_int(kUnsignedZero);  // of absent features: their keys are 0
      if (d + i < args.head_dim) {
        const V::Float x = V::mul(V::load(args.q + (d + i) * kQueries + strip), params.inverse);
        code[i] = V::and_int(V::add_int(V::to_int(x), code[i]), V::set_int(0xff));
      }
    }
    V::store_int(quads + d / 4 * kQueries, join_quad(code));
  }
  return params.scale;
}

// Exponents of `Count` keys from `key`; returns the maximum of them and `highest`.
template <int Count>
PENJING_INLINE V::Float score_keys(const Args& args, const Prepared& from, const int32_t* q, V::Float factor,
                                   int64_t key, int strip, float* exponents, V::Float highest) {
  V::Int sum[Count];
  for (int i = 0; i < Count; ++i) sum[i] = V::set_int(from.key_offset[key + i]);
  const Code* codes = from.keys + key * 4;
  for (int64_t d = 0; d < args.head_dim; d += 4, q += kQueries, codes += 4 * from.tokens) {
    const V::Int quad = V::load_int(q);
    for (int i = 0; i < Count; ++i) sum[i] = Dot::add(sum[i], quad, codes + 4 * i);
  }
  for (int i = 0; i < Count; ++i) {
    V::Float s = V::mul(V::mul(V::to_float(sum[i]), factor), V::set(from.key_scale[key + i]));
    const int64_t at = (key + i) * kQueries + strip;
    if (args.bias != nullptr) s = V::fma(V::load(args.bias + at), V::set(kLog2E), s);
    V::store(exponents + (key + i) * kQueries, s);
    highest = V::max(s, highest);
  }
  return highest;
}

template <int Features>
PENJING_INLINE void weigh_values(const Args& args, const Prepared& from, const int32_t* probabilities,
                                 int64_t d, int strip, V::Float inverse) {
  V::Int sum[Features];
  for (auto& s : sum) s = V::set_int(0);
  const Code* values = from.values + d * from.tokens;
  for (int64_t j = args.key_begin & ~int64_t{3}; j < args.key_end; j += 4) {
    const V::Int quad = V::load_int(probabilities + j / 4 * kQueries);
    for (int i = 0; i < Features; ++i) sum[i] = Dot::add(sum[i], quad, values + i * from.tokens + j);
  }
  for (int i = 0; i < Features; ++i) {
    const V::Float y = V::mul(V::mul(V::to_float(sum[i]), V::set(from.value_scale[d + i])), inverse);
    V::store(args.out + (d + i) * kQueries + strip, y);
  }
}

PENJING_INLINE void run_strip(const Args& args, const Prepared& from, int strip) {
  auto* exponents = static_cast<float*>(args.scratch) + strip;
  auto* q = static_cast<int32_t*>(args.scratch) + from.tokens * kQueries + strip;
  int32_t* probabilities = q + round_up(args.head_dim, 4) / 4 * kQueries;

  V::Float bad = V::set(*from.poison);
  const V::Float scale = quantize_queries(args, strip, q, bad);
  const V::Float factor = V::mul(scale, V::set(args.scale * kLog2E));
  V::Float highest = V::set(-__builtin_inff());
  int64_t j = args.key_begin;
  for (; j + kChains <= args.key_end; j += kChains) {
    highest = score_keys<kChains>(args, from, q, factor, j, strip, exponents, highest);
  }
  for (; j < args.key_end; ++j) highest = score_keys<1>(args, from, q, factor, j, strip, exponents, highest);

  const V::Float offset = V::sub(highest, V::set(kLog2Of255));
  const auto code_of = [&](int64_t key) __attribute__((always_inline)) {
    return V::to_int(exp2_vector(V::sub(V::load(exponents + key * kQueries), offset)));
  };
  V::Int total = V::set_int(0);
  for (j = args.key_begin & ~int64_t{3}; j < args.key_end; j += 4) {
    V::Int code[4];
    if (j >= args.key_begin && j + 4 <= args.key_end) {
      for (int i = 0; i < 4; ++i) code[i] = code_of(j + i);
    } else {
      for (int i = 0; i < 4; ++i) {
        code[i] = j + i >= args.key_begin && j + i < args.key_end ? code_of(j + i) : V::set_int(0);
      }
    }
    total = V::add_int(V::add_int(total, V::add_int(code[0], code[1])), V::add_int(code[2], code[3]));
    V::store_int(probabilities + j / 4 * kQueries, join_quad(code));
  }
  const V::Float inverse = V::add(V::div(V::set(1.0f), V::to_float(total)), V::fma(factor, V::zero(), bad));

  int64_t d = 0;
  for (; d + kChains <= args.head_dim; d += kChains) {
    weigh_values<kChains>(args, from, probabilities, d, strip, inverse);
  }
  for (; d < args.head_dim; ++d) weigh_values<1>(args, from, probabilities, d, strip, inverse);
}

void run(const Args& args) {
  const Prepared from = layout(const_cast<void*>(args.prepared), args.head_dim, args.length);
  for (int strip = 0; strip < kQueries; strip += V::kLanes) run_strip(args, from, strip);
}

}  // namespace
