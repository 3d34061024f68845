#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "model/description.h"
#include "model/tensor.h"

namespace penjing {

struct Model;

// The one tagged type of a linear layer's weights. `weight` is [out, in] unless said.
enum class LinearKind {
  kDense,      // weight F32 | F16 | BF16 | F64
  kQuantized,  // weight I8 [out, in], scale F32 [out, 1]; the scheme says how activations are treated
  kLowRank,    // weight = left [out, rank] x right [rank, in]: tensors .weight_left, .weight_right
};
// How the input of an integer product becomes integers.
struct ActivationScheme {
  enum class Kind {
    kNone,      // weight-only: weights are expanded, arithmetic is FP32
    kPerToken,  // range of each token, found while running
    kStatic,    // one range a tensor, found beforehand: NAME.input_scale, NAME.input_zero_point
  };
  Kind kind = Kind::kNone;
  bool symmetric = false;  // around zero: codes -127..127 (bits 7: -63..63), else 0..255 (0..127)
  int bits = 8;            // or 7: two products then fit the 16-bit sums of AVX2
  bool operator==(const ActivationScheme&) const = default;
};

struct Linear {
  LinearKind kind = LinearKind::kDense;
  LinearSpec spec;
  Tensor weight, scale;          // dense, quantized: scale [out, 1], weight-only also [out, groups]
  Tensor left, right;            // low rank
  ActivationScheme activations;  // quantized
  // Static: x = input_scale * (q - input_zero), q in the scheme's codes as they are carried (0..255 or
  // 0..127).
  float input_scale = 1;
  int32_t input_zero = 0;
  // Smoothing (Xiao et al. 2022), NAME.smooth [in], or empty: the weight's columns are multiplied by it, so
  // the input is divided by it: y = (x / smooth) W^T.
  Tensor smooth;
  bool has_bias = false;
  Tensor bias;              // [out]
  std::string shared_with;  // name of the module whose tensors these are, when shared
};

// Finds the tensors of `spec` in the model (canonical names; sharing through compression_config.shared),
// checks types and shapes against the spec. Throws kFormat / kUnsupported naming the tensor.
Linear resolve_linear(const Model& model, const LinearSpec& spec);

// How config.json's quantization_config (compressed-tensors form) says activations are treated. Throws
// kUnsupported naming a method or format we cannot run (gptq, awq, bitsandbytes, ...).
ActivationScheme activation_scheme(const Json& config);

// An embedding table [rows, width]: F32 | F16 | BF16, or I8 with one scale a row ([rows, 1]).
struct EmbeddingTable {
  std::string name;
  Tensor weight, scale;  // scale.bytes empty: not quantized
  int64_t rows = 0, width = 0;
  void read_row(int64_t row, std::span<float> out) const;  // row in [0, rows)
};
EmbeddingTable resolve_embedding(const TensorMap& tensors, const std::string& name, int64_t rows,
                                 int64_t width);

// The weight as FP32 [out, in], whatever its kind.
std::vector<float> dense_weight(const Linear& linear);

}  // namespace penjing
