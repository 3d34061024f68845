#include "train/ops/pointwise_function.h"

#include "base/error.h"

namespace penjing::train {

pointwise::Function function_of(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return pointwise::Function::kNone;
    case Activation::kGelu:
      return pointwise::Function::kGelu;
    case Activation::kGeluTanh:
      return pointwise::Function::kGeluTanh;
    case Activation::kRelu:
      return pointwise::Function::kRelu;
    case Activation::kSilu:
      return pointwise::Function::kSilu;
    case Activation::kTanh:
      return pointwise::Function::kTanh;
  }
  fail(ErrorKind::kInternal, "activation {}", static_cast<int>(activation));
}

}  // namespace penjing::train
