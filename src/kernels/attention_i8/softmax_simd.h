#pragma once

// What 8-bit attention does around its products, over simd/<isa>.h's Vector and a Dot of the instruction set:
// include them first. Dot says how signed codes are stored for its products:
//   Code, the type of a code; kTokens, kKeyFeatures, kValueFeatures: to what multiples sequences and features
//   are padded; store_keys(p, tokens, features, token, feature, code[4]): four codes of consecutive features
//   of a register of tokens; store_row(p, code): of a value's feature, a register of tokens.
#include "kernels/attention_i8/attention_i8.h"
#include "kernels/pointwise/constants.h"
#include "kernels/quantize/symmetric_simd.h"

namespace {

using namespace penjing::attention_i8;
using penjing::pointwise::kExp2C;
using penjing::pointwise::kLog2E;
using penjing::pointwise::kRoundMagic;
using Code = Dot::Code;

constexpr int kUnsignedZero = 128;  // queries are codes + 128, because the products want them unsigned

int64_t round_up(int64_t n, int64_t step) {
  return (n + step - 1) / step * step;
}

// Prepared form, tokens and features padded as Dot wants:
//   scales of the keys, what their unsigned queries' zero point adds [tokens] (kept as its negative), scales
//   of the values [features], 0 or NaN [16], codes of the keys [features x tokens], of the values
//   [features][tokens]
struct Prepared {
  float* key_scale;
  int32_t* key_offset;
  float* value_scale;
  float* poison;
  Code* keys;
  Code* values;
  int64_t tokens, features;  // of the keys, padded
};

PENJING_INLINE Prepared layout(void* base, int64_t head_dim, int64_t length) {
  Prepared p;
  p.tokens = round_up(length, Dot::kTokens);
  p.key_scale = static_cast<float*>(base);
  p.key_offset = reinterpret_cast<int32_t*>(p.key_scale + p.tokens);
  p.value_scale = reinterpret_cast<float*>(p.key_offset + p.tokens);
  p.poison = p.value_scale + round_up(head_dim, kQueries);
  p.keys = reinterpret_cast<Code*>(p.poison + kQueries);
  p.features = round_up(head_dim, Dot::kKeyFeatures);
  p.values = p.keys + p.features * p.tokens;
  return p;
}

std::size_t prepared_bytes(int64_t head_dim, int64_t length) {
  const int64_t tokens = round_up(length, Dot::kTokens);
  return static_cast<std::size_t>(4 * (2 * tokens + round_up(head_dim, kQueries) + kQueries)) +
         static_cast<std::size_t>(
             (round_up(head_dim, Dot::kKeyFeatures) + round_up(head_dim, Dot::kValueFeatures)) * tokens) *
             sizeof(Code);
}

// Scratch: exponents [tokens][16], quads of the queries [features / 4][16][4], of the probabilities
// [tokens / 4][16][4].
struct Scratch {
  float* exponents;
  int32_t* queries;
  int32_t* probabilities;
};

PENJING_INLINE Scratch scratch_of(const Args& args, const Prepared& from) {
  auto* exponents = static_cast<float*>(args.scratch);
  auto* queries = reinterpret_cast<int32_t*>(exponents + from.tokens * kQueries);
  return {exponents, queries, queries + from.features / 4 * kQueries};
}

std::size_t scratch_bytes(int64_t head_dim, int64_t length) {
  const int64_t tokens = round_up(length, Dot::kTokens);
  return static_cast<std::size_t>(kQueries * (4 * tokens + round_up(head_dim, Dot::kKeyFeatures) + tokens));
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
  for (int64_t strip = 0; strip < round_up(keys.length, kQueries); strip += V::kLanes) {
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
      Dot::store_keys(to.keys, to.tokens, to.features, strip, d, code);
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

// The exponent of one key: its sum times the scales, in `highest` too.
PENJING_INLINE V::Float exponent_of(const Args& args, const Prepared& from, V::Int sum, V::Float factor,
                                    int64_t key, int strip, V::Float& highest) {
  V::Float s = V::mul(V::mul(V::to_float(sum), factor), V::set(from.key_scale[key]));
  if (args.bias != nullptr) s = V::fma(V::load(args.bias + key * kQueries + strip), V::set(kLog2E), s);
  highest = V::max(s, highest);
  return s;
}

// Quads of the probabilities of keys [key_begin, key_end) from their exponents, those of other keys from
// `begin` to `end`, multiples of 4, 0; returns the sum of all.
PENJING_INLINE V::Int weigh_keys(const Args& args, const Scratch& scratch, int64_t begin, int64_t end,
                                 int strip, V::Float highest) {
  const V::Float offset = V::sub(highest, V::set(kLog2Of255));
  const float* exponents = scratch.exponents + strip;
  const int64_t first = args.key_begin, last = args.key_end;
  const auto code_of = [&](int64_t key) __attribute__((always_inline)) {
    return V::to_int(exp2_vector(V::sub(V::load(exponents + key * kQueries), offset)));
  };
  V::Int total = V::set_int(0);
  for (int64_t j = begin; j < end; j += 4) {
    V::Int code[4];
    if (j >= first && j + 4 <= last) {
      for (int i = 0; i < 4; ++i) code[i] = code_of(j + i);
    } else {
      for (int i = 0; i < 4; ++i) {
        code[i] = j + i >= first && j + i < last ? code_of(j + i) : V::set_int(0);
      }
    }
    total = V::add_int(V::add_int(total, V::add_int(code[0], code[1])), V::add_int(code[2], code[3]));
    V::store_int(scratch.probabilities + j / 4 * kQueries + strip, join_quad(code));
  }
  return total;
}

// 1 / the sum of the probabilities; not a number where something was not finite.
PENJING_INLINE V::Float inverse_of(V::Int total, V::Float factor, V::Float bad) {
  return V::add(V::div(V::set(1.0f), V::to_float(total)), V::fma(factor, V::zero(), bad));
}

}  // namespace
