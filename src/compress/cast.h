#pragma once

#include <string>

#include "model/tensor.h"

namespace penjing {

// The tensor with every element rounded to nearest-even in F32, F16 or BF16. kFormat, naming tensor and
// element, when a finite value would become infinite.
Tensor cast(const Tensor& tensor, DType type, const std::string& name);

}  // namespace penjing
