#include "compress/cast.h"

#include <cmath>

#include "base/error.h"
#include "numerics/float16.h"

namespace penjing {

Tensor cast(const Tensor& tensor, DType type, const std::string& name) {
  const std::vector<float> values = read_floats(tensor, name);
  if (type == DType::kF32) return Tensor::from_floats(tensor.shape, values);
  std::vector<std::byte> bytes(values.size() * 2);
  auto* out = reinterpret_cast<uint16_t*>(bytes.data());
  for (std::size_t i = 0; i < values.size(); ++i) {
    out[i] = type == DType::kF16 ? float_to_half(values[i]) : float_to_bfloat16(values[i]);
    if (type == DType::kF16 && std::isinf(half_to_float(out[i]))) {
      fail(ErrorKind::kFormat, "tensor {}: element {} is {}, beyond fp16's 65504; use bf16", name, i,
           values[i]);
    }
    if (type == DType::kBF16 && std::isinf(bfloat16_to_float(out[i]))) {
      fail(ErrorKind::kFormat, "tensor {}: element {} is {}, beyond bf16's 3.3895e38", name, i, values[i]);
    }
  }
  return Tensor::from_bytes(type, tensor.shape, std::move(bytes));
}

}  // namespace penjing
