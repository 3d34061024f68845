#pragma once

#include "base/json.h"
#include "model/description.h"
#include "model/tensor.h"

namespace penjing {

// The "pack-quantized" form of compressed-tensors, for weight-only schemes: NAME.weight_packed, int32 words
// of 32 / bits codes, low bits first, each code offset by 2^(bits-1), rows padded to whole words;
// NAME.weight_shape, int64 [out, in]. In memory codes are int8, NAME.weight; the packed form lives in files
// only.

// Replaces packed weights by their codes when config.json's quantization_config says that there are any.
// Throws kFormat (shapes, a code beyond the bits) and kUnsupported (bits other than 4 and 8), naming the
// tensor.
TensorMap unpack_weights(const TensorMap& tensors, const Json& config);

// The inverse for the linear layers of `description` whose weight is int8, when the config's format is
// pack-quantized.
TensorMap pack_weights(const TensorMap& tensors, const Json& config, const Description& description);

}  // namespace penjing
