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
enum class ActivationScheme {
  kNone,               // weight-only: weights are expanded, arithmetic is FP32
  kAffinePerToken,     // uint8, dynamic
  kSymmetricPerToken,  // int8 dynamic, carried as uint8 with zero point 128
};

struct Linear {
  LinearKind kind = LinearKind::kDense;
  LinearSpec spec;
  Tensor weight, scale;                                    // dense, quantized
  Tensor left, right;                                      // low rank
  ActivationScheme activations = ActivationScheme::kNone;  // quantized
  bool has_bias = false;
  Tensor bias;              // [out]
  std::string shared_with;  // name of the module whose tensors these are, when shared
};

// Finds the tensors of `spec` in the model (canonical names; sharing through compression_config.shared),
// checks types and shapes against the spec. Throws kFormat / kUnsupported naming the tensor.
Linear resolve_linear(const Model& model, const LinearSpec& spec);

// How config.json's quantization_config (compressed-tensors form) says activations are treated. Throws
// kUnsupported naming a method or format we cannot run (gptq, awq, bitsandbytes, packed int4, ...).
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
