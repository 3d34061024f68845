// The definition in plain loops: one query at a time. Prepared form: key codes [length][head_dim], value
// codes [head_dim][length], key scales [length], value scales [head_dim], then one float that is 0 or NaN.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/attention_i8/attention_i8.h"
#include "kernels/pointwise/constants.h"
#include "numerics/quantizer.h"

namespace penjing::attention_i8::ref {

namespace {

struct Prepared {
  int8_t* keys;
  int8_t* values;
  float* key_scale;
  float* value_scale;
  float* poison;

  Prepared(void* base, int64_t head_dim, int64_t length) {
    key_scale = static_cast<float*>(base);
    value_scale = key_scale + length;
    poison = value_scale + head_dim;
    keys = reinterpret_cast<int8_t*>(poison + 1);
    values = keys + head_dim * length;
  }
};

std::size_t prepared_bytes(int64_t head_dim, int64_t length) {
  return static_cast<std::size_t>(4 * (length + head_dim + 1) + 2 * head_dim * length);
}

// Exponents of all keys, then the codes of the queries and of the probabilities.
std::size_t scratch_bytes(int64_t head_dim, int64_t length) {
  return static_cast<std::size_t>(4 * length + 4 * (head_dim + length));
}

// Codes of count values, `step` apart. The scale is 1 and *poison NaN when one of them is not finite.
template <typename Code>
float quantize(const float* x, int64_t count, int64_t step, Code* codes, int64_t code_step, float* poison) {
  float largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    *poison = std::fma(x[i * step], 0.0f, *poison);
    largest = std::max(largest, std::fabs(x[i * step]));
  }
  const QuantParams params = symmetric_params(largest, kInt8);
  for (int64_t i = 0; i < count; ++i) {
    const bool finite = std::isfinite(x[i * step]);
    codes[i * code_step] = static_cast<Code>(finite ? quantize_value(x[i * step], params, kInt8) : 0);
  }
  return params.scale;
}

void prepare(const Keys& keys) {
  const Prepared to(keys.prepared, keys.head_dim, keys.length);
  *to.poison = 0;
  for (int64_t j = 0; j < keys.length; ++j) {
    to.key_scale[j] =
        quantize(keys.k + j, keys.head_dim, keys.stride, to.keys + j * keys.head_dim, 1, to.poison);
  }
  for (int64_t d = 0; d < keys.head_dim; ++d) {
    to.value_scale[d] =
        quantize(keys.v + d * keys.stride, keys.length, 1, to.values + d * keys.length, 1, to.poison);
  }
}

float exp2_scalar(float x) {
  const float z = std::max(x, kSmallestExponent);
  const float shifted = z + pointwise::kRoundMagic;
  const float f = z - (shifted - pointwise::kRoundMagic);
  float p = pointwise::kExp2C[3];
  for (int i = 2; i >= 0; --i) p = std::fma(p, f, pointwise::kExp2C[i]);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(p) + (std::bit_cast<uint32_t>(shifted) << 23));
}

void run(const Args& args) {
  const Prepared from(const_cast<void*>(args.prepared), args.head_dim, args.length);
  auto* exponents = static_cast<float*>(args.scratch);
  auto* q = reinterpret_cast<int32_t*>(exponents + args.length);
  int32_t* p = q + args.head_dim;
  const float scale = args.scale * pointwise::kLog2E;
  for (int t = 0; t < kQueries; ++t) {
    float poison = *from.poison;
    const float factor = quantize(args.q + t, args.head_dim, kQueries, q, 1, &poison) * scale;
    float highest = -INFINITY;
    for (int64_t j = args.key_begin; j < args.key_end; ++j) {
      int32_t sum = 0;
      for (int64_t d = 0; d < args.head_dim; ++d) sum += q[d] * from.keys[j * args.head_dim + d];
      float s = static_cast<float>(sum) * factor * from.key_scale[j];
      if (args.bias != nullptr) s = std::fma(args.bias[j * kQueries + t], pointwise::kLog2E, s);
      exponents[j] = s;
      highest = s > highest ? s : highest;
    }
    const float offset = highest - kLog2Of255;
    int32_t total = 0;
    for (int64_t j = args.key_begin; j < args.key_end; ++j) {
      p[j] = static_cast<int32_t>(std::nearbyint(exp2_scalar(exponents[j] - offset)));
      total += p[j];
    }
    const float inverse = 1.0f / static_cast<float>(total) + std::fma(factor, 0.0f, poison);
    for (int64_t d = 0; d < args.head_dim; ++d) {
      int32_t sum = 0;
      for (int64_t j = args.key_begin; j < args.key_end; ++j) sum += p[j] * from.values[d * args.length + j];
      args.out[d * kQueries + t] = static_cast<float>(sum) * from.value_scale[d] * inverse;
    }
  }
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kRef, 0, prepared_bytes, scratch_bytes, prepare, run};

}  // namespace penjing::attention_i8::ref
